// SPDX-License-Identifier: Apache-2.0
// Lists of keys, read in the page by the rules of the server (src/core/key_list.c): before anything travels it is known how many keys
// there are, which lines are invalid and which keys are there twice.
import { isExcess, Malformed, readJson } from './json_text.js';
import { readRows, tableHead } from './key_rows.js';
import { isYaml, readWords } from './key_words.js';

const KEY_MAX = 4096;
const LABEL_MAX = 120;
const ACCOUNT_MAX = 64;
const WEIGHT_MAX = 1000;
const COUNT_MAX = 4294967295;
const FAULTS_LISTED = 1000;
const LIMITS = ['rpm', 'rpd', 'tpm', 'tpd', 'concurrency'];
const HEAD_MAX = 1024;
const KEYS = ['key', 'api_key', 'apikey', 'apiKey', 'key_value'];
const HOLDERS = new Set([...KEYS, 'keys', 'api_keys', 'data', 'items']);
const MEMBERS = ['key', 'label', 'weight', 'account', 'enabled', 'limits'];

const utf8 = new TextEncoder();
const byteLength = (text) => (/[^\x00-\x7f]/.test(text) ? utf8.encode(text).length : text.length);

/** Why a key cannot be used, in the words of the server; "" when it can. */
export function keyFault(key) {
  if (!key) {
    return 'empty key';
  }
  const [bad] = /[^!#-&(-~]/.exec(key) ?? [];
  if (byteLength(key) > KEY_MAX) {
    return 'key longer than 4096 bytes';
  }
  if (bad === undefined) {
    return '';
  }
  return bad < ' ' || bad === '\x7f' ? 'control character in a key'
    : bad === ' ' ? 'blank inside a key (keys are separated by commas or newlines)'
      : bad === '"' || bad === "'" ? 'quote in a key'
        : 'character outside ASCII in a key (was it copied in its masked form?)';
}

/** What has been read so far. A key that is there twice is what is said of it first. */
class Reading {
  keys = [];

  lines = []; // of each key: where it stands

  more = null; // of each key: what else a table or JSON says of it; null where there are only words

  isJson = false; // what holds keys is counted, and not lines

  repeated = 0;

  invalid = []; // the first of them: { line, reason }

  invalidCount = 0;

  #seen = new Set();

  take(key, line, more) {
    const reason = keyFault(key);
    if (reason) {
      this.refuse(line, reason);
    } else if (this.#seen.has(key)) {
      this.repeated++;
    } else {
      this.#seen.add(key);
      this.keys.push(key);
      this.lines.push(line);
      this.more?.push(more);
    }
  }

  refuse(line, reason) {
    if (this.invalidCount++ < FAULTS_LISTED) {
      this.invalid.push({ line, reason });
    }
  }
}

/** Words of a text that may hold several keys, each with what is said of all. */
function takeAll(text, line, more, reading) {
  let count = 0;
  readWords(text, (key) => {
    count++;
    reading.take(key, line, { ...more, key });
  });
  if (!count) {
    reading.refuse(line, 'empty key');
  }
}

/** Decides by the first line that is no comment or rule. */
function readText(text, reading) {
  const found = /^[ \t\r\n]*(?:[ \t\r]*(?:#[^\n]*|-{3}[- \t\r]*)?(?:\n|$))*/.exec(text)[0];
  const rest = text.slice(found.length);
  const line = found.split('\n').length;
  const [head] = rest.split('\n', 1);
  const table = byteLength(head) <= HEAD_MAX ? tableHead(head) : null;
  if (!table) {
    readWords(rest, (key, at) => reading.take(key, at), { line, yaml: isYaml(head) });
    return;
  }
  reading.more = [];
  readRows(rest.slice(head.length + 1), table, line + 1, (object, at) => {
    if (object.key === undefined) {
      reading.refuse(at, 'empty key');
    } else {
      takeObject(object, at, reading);
    }
  });
}

const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);
const isAbsent = (value) => value === undefined || value === null;
const isCount = (value, max) => isAbsent(value) || (Number.isInteger(value) && value > 0 && value <= max);
const isText = (value, max) => isAbsent(value)
  || (typeof value === 'string' && !/[\x00-\x1f\x7f]/.test(value) && byteLength(value) <= max);

/** What is wrong with what an object says of a key besides the key. */
function memberFault({ enabled, weight, account, label, limits }) {
  if (enabled !== undefined && typeof enabled !== 'boolean') {
    return '"enabled" is neither true nor false';
  }
  if (!isCount(weight, WEIGHT_MAX)) {
    return '"weight" is not a whole number from 1 to 1000';
  }
  if (!isText(account, ACCOUNT_MAX)) {
    return '"account" is not a string of at most 64 bytes without control characters';
  }
  if (!isText(label, LABEL_MAX)) {
    return '"label" is not a string of at most 120 bytes without control characters';
  }
  const areLimits = isAbsent(limits) || (isObject(limits) && LIMITS.every((name) => isCount(limits[name], COUNT_MAX)));
  return areLimits ? '' : '"limits" is not an object of whole numbers above 0';
}

const chosen = (object, names) => Object.fromEntries(names.filter((name) => !isAbsent(object[name])).map((name) => [name, object[name]]));

/** Other tools say 0 for a weight of no meaning, and "name" for a label. */
function adapted(object) {
  const key = object[KEYS.find((name) => typeof object[name] === 'string')];
  const label = object.label === undefined && typeof object.name === 'string' && isText(object.name, LABEL_MAX) ? object.name : object.label;
  return { ...object, key, label, weight: object.weight === 0 ? undefined : object.weight };
}

function takeObject(given, line, reading) {
  const object = adapted(given);
  const fault = memberFault(object);
  if (fault) {
    reading.refuse(line, fault);
    return;
  }
  const more = chosen(object, MEMBERS);
  takeAll(object.key, line, more.limits ? { ...more, limits: chosen(more.limits, LIMITS) } : more, reading);
}

/** Takes the keys in a value; next() is the number of what holds some. Returns whether there was any. */
function walk(value, isKey, next, reading) {
  if (typeof value === 'string') {
    if (isKey) {
      takeAll(value, next(), {}, reading);
    }
    return isKey;
  }
  if (Array.isArray(value)) {
    return value.map((part) => walk(part, isKey, next, reading)).includes(true);
  }
  if (!isObject(value)) {
    return false;
  }
  if (KEYS.some((name) => typeof value[name] === 'string')) {
    takeObject(value, next(), reading);
    return true;
  }
  return Object.entries(value).map(([name, part]) => walk(part, HOLDERS.has(name), next, reading)).includes(true);
}

function takeElement(element, number, reading, next = () => number) {
  if (typeof element !== 'string' && !isObject(element)) {
    reading.refuse(number, 'neither a string nor an object');
  } else if (!walk(element, true, next, reading)) {
    reading.refuse(number, 'object without a string "key"');
  }
}

function readExport(text, reading) {
  reading.more = [];
  reading.isJson = true;
  if (isExcess(text)) {
    reading.refuse(1, 'JSON that is nested too deeply, or has too many values');
    return;
  }
  try {
    const value = readJson(text);
    let count = 0;
    if (Array.isArray(value)) {
      value.forEach((element, i) => takeElement(element, i + 1, reading));
    } else {
      takeElement(value, 1, reading, () => ++count);
    }
  } catch (error) {
    if (!(error instanceof Malformed)) {
      throw error;
    }
    reading.refuse(error.line, 'malformed JSON');
  }
}

/**
 * Reads what is pasted: words, a table, LiteLLM's config.yaml, or JSON with keys in it. Lines count from 1, and so does what
 * holds keys in JSON.
 */
export function readKeys(given) {
  const reading = new Reading();
  const text = given.startsWith('\ufeff') ? given.slice(1) : given;
  const [first] = /[^ \t\r\n]/.exec(text) ?? [];
  if (first === '{' || first === '[') {
    readExport(text, reading);
  } else {
    readText(text, reading);
  }
  return reading;
}
