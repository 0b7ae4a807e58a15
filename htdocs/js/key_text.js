// SPDX-License-Identifier: Apache-2.0
// Lists of keys, read in the page by the rules of the server (src/core/key.c): before anything travels it is known how many keys
// there are, which lines are invalid and which keys are there twice.
import { isExcess, Malformed, readJson } from './json_text.js';

const KEY_MAX = 4096;
const LABEL_MAX = 120;
const ACCOUNT_MAX = 64;
const WEIGHT_MAX = 1000;
const COUNT_MAX = 4294967295;
const FAULTS_LISTED = 1000;
const LIMITS = ['rpm', 'rpd', 'tpm', 'tpd', 'concurrency'];
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

  more = null; // of each key: what else a JSON array says of it; null where it is a list of lines

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

const isBlank = (c) => c === ' ' || c === '\t' || c === '\r';

/** Not trim(), which takes more than the server does. */
function trimmed(text) {
  let start = 0;
  let end = text.length;
  while (start < end && isBlank(text[start])) {
    start++;
  }
  while (end > start && isBlank(text[end - 1])) {
    end--;
  }
  return start || end < text.length ? text.slice(start, end) : text;
}

function readLines(text, reading) {
  let line = 1;
  for (let start = 0; start < text.length; line++) {
    const newline = text.indexOf('\n', start);
    const end = newline < 0 ? text.length : newline;
    const row = trimmed(text.slice(start, end));
    if (!row.startsWith('#')) {
      for (const part of row.split(',')) {
        const key = trimmed(part);
        if (key) {
          reading.take(key, line);
        }
      }
    }
    start = end + 1;
  }
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

function takeElement(element, number, reading) {
  const key = isObject(element) ? element.key : element;
  const fault = (isObject(element) && memberFault(element)) || (typeof key === 'string' ? ''
    : isObject(element) ? 'object without a string "key"' : 'neither a string nor an object');
  if (fault) {
    reading.refuse(number, fault);
    return;
  }
  const more = isObject(element) ? chosen(element, MEMBERS) : { key };
  reading.take(key, number, more.limits ? { ...more, limits: chosen(more.limits, LIMITS) } : more);
}

function readArray(text, reading) {
  reading.more = [];
  if (isExcess(text)) {
    reading.refuse(1, 'JSON that is nested too deeply, or has too many values');
    return;
  }
  try {
    readJson(text).forEach((element, i) => takeElement(element, i + 1, reading));
  } catch (error) {
    if (!(error instanceof Malformed)) {
      throw error;
    }
    reading.refuse(error.line, 'malformed JSON');
  }
}

/**
 * Reads keys separated by newlines or commas, or a JSON array of strings or of objects with "key". Lines count from 1, and so
 * do the elements of an array.
 */
export function readKeys(given) {
  const reading = new Reading();
  const text = given.startsWith('\ufeff') ? given.slice(1) : given;
  const [first] = /[^ \t\r\n]/.exec(text) ?? [];
  if (first === '{') {
    reading.refuse(1, 'a JSON object; an array of keys is needed');
  } else if (first === '[') {
    readArray(text, reading);
  } else {
    readLines(text, reading);
  }
  return reading;
}
