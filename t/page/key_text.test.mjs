// SPDX-License-Identifier: Apache-2.0
// The page reads a list of keys as the server does: by the same cases as t/unit/key_list.c, and some of its own.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

const { keyFault, readKeys } = await import(`${process.env.APIPOOL_MODULES}/key_text.js`);

const cases = JSON.parse(readFileSync(`${process.env.APIPOOL_SOURCE}/t/unit/import_cases.json`, 'utf8'));

/** What a case says that is told, as the page tells it: of keys that are there twice the first, invalid items by themselves. */
function wanted({ told }) {
  const items = told.split(' ').filter(Boolean);
  const keys = items.filter((item) => item[0] !== '?').map((item) => item.slice(1));
  return { keys: [...new Set(keys)], repeated: keys.length - new Set(keys).size,
    off: [...new Set(items.filter((item) => item[0] === '-').map((item) => item.slice(1)))],
    lines: items.filter((item) => item[0] === '?').map((item) => Number(item.slice(1))) };
}

for (const row of cases) {
  test(`as the server: ${row.name}`, () => {
    const { keys, repeated, off, lines } = wanted(row);
    const read = readKeys(row.text);
    assert.deepEqual(read.keys, keys);
    assert.equal(read.repeated, repeated);
    assert.deepEqual(read.invalid.map(({ line }) => line), lines);
    assert.equal(read.invalidCount, lines.length);
    assert.equal(read.invalid.at(-1)?.reason, row.reason);
    assert.deepEqual(read.keys.filter((_, i) => read.more?.[i].enabled === false), off);
  });
}

test('a key may have 4096 bytes and no more', () => {
  assert.equal(keyFault('k'.repeat(4096)), '');
  assert.equal(keyFault('k'.repeat(4097)), 'key longer than 4096 bytes');
  assert.equal(keyFault('é'.repeat(2049)), 'key longer than 4096 bytes');
  assert.match(keyFault('é'.repeat(2048)), /^character outside ASCII/);
  assert.deepEqual(readKeys(`\n${'k'.repeat(4097)}`).invalid, [{ line: 2, reason: 'key longer than 4096 bytes' }]);
});

test('every printable byte of ASCII but blanks and quotes may be in a key', () => {
  for (let c = 0; c < 256; c++) {
    assert.equal(keyFault(`s${String.fromCharCode(c)}k`) === '', c > 0x20 && c < 0x7f && c !== 0x22 && c !== 0x27, `byte ${c}`);
  }
});

test('a million values are not read', () => {
  const { keys, invalid } = readKeys(`[${'1,'.repeat(1000000)}1]`);
  assert.deepEqual([keys, invalid], [[], [{ line: 1, reason: 'JSON that is nested too deeply, or has too many values' }]]);
});

test('it is known where each key stands', () => {
  const { keys, lines, more } = readKeys('# list\nsk-1, sk-2\nb\u00e9d\nsk-1\n\nsk-3');
  assert.deepEqual([keys, lines, more], [['sk-1', 'sk-2', 'sk-3'], [2, 2, 6], null]);
});

test('of an object goes what the server takes, and nothing else', () => {
  const { more } = readKeys(JSON.stringify([{ key: 'sk-1', label: 'a', note: 'private', weight: 2, account: null, enabled: false,
    limits: { rpm: 3, tpm: null, also: 4 } }, 'sk-2', { key: 'sk-1', label: 'b' }]));
  assert.deepEqual(more, [{ key: 'sk-1', label: 'a', weight: 2, enabled: false, limits: { rpm: 3 } }, { key: 'sk-2' }]);
});

test('a table and an export tell what is known of a key', () => {
  const more = (text) => readKeys(text).more;
  assert.deepEqual(more('name;key;enabled;rpm\n"a, ""b""; c";sk-1;no;60'), [{ key: 'sk-1', label: 'a, "b"; c', enabled: false, limits: { rpm: 60 } }]);
  assert.deepEqual(more('{"data":[{"key":"sk-1\\nsk-2","name":"a","weight":0}]}'), [{ key: 'sk-1', label: 'a' }, { key: 'sk-2', label: 'a' }]);
  assert.deepEqual(readKeys('key,label\nsk-1,"a"\n\nsk-2,b').lines, [2, 4]);
});

test('of many faults the first 1000 are listed, and all are counted', () => {
  const { invalid, invalidCount } = readKeys('\u00e9\n'.repeat(2500));
  assert.deepEqual([invalid.length, invalid.at(-1).line, invalidCount], [1000, 1000, 2500]);
});

test('100,000 keys are read, in lines and as an array', (t) => {
  const lines = Array.from({ length: 100000 }, (_, i) => `sk-ok-many-${String(i).padStart(6, '0')}-aaaaaaaa`);
  const list = [...lines, lines[0], 'b\u00e9d'];
  for (const text of [list.join('\n'), JSON.stringify(list.map((key) => ({ key, label: 'x' })))]) {
    const start = performance.now();
    const read = readKeys(text);
    t.diagnostic(`${text.length} characters in ${Math.round(performance.now() - start)} ms`);
    assert.deepEqual([read.keys.length, read.repeated, read.invalid[0].line], [100000, 1, 100002]);
  }
});
