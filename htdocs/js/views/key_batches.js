// SPDX-License-Identifier: Apache-2.0
// The keys of an import, cut into pieces that are sent one after the other, and the check of those that are new.
import { paths, post } from '../api.js';

export const BATCH = 5000;
const CHECKS = 4; // at once

/** Keys that are the same words wherever they stand, so that lines of them are read as they are meant. */
const isPlain = (key) => /^[A-Za-z0-9._+\/-]*\d[A-Za-z0-9._+\/-]*$/.test(key);

/** Some of the keys that have been read, as the server takes them: { json | text }. */
export function part({ keys, more }, start = 0, end = keys.length) {
  if (more) {
    return { json: more.slice(start, end) };
  }
  const some = keys.slice(start, end);
  return some.every(isPlain) ? { text: some.join('\n') } : { json: some };
}

/** The same without the keys at some places. */
export function without({ keys, lines, more, ...read }, places) {
  const stays = (_, i) => !places.has(i);
  return { ...read, keys: keys.filter(stays), lines: lines.filter(stays), more: more?.filter(stays) ?? null };
}

/** All of them in pieces: { start, end }. */
export function batches({ keys }) {
  const list = [];
  for (let start = 0; start < keys.length; start += BATCH) {
    list.push({ start, end: Math.min(start + BATCH, keys.length) });
  }
  return list;
}

/** What has come of nothing yet: what is invalid or there twice in the text itself counts from the beginning. */
export const outcome = ({ repeated, invalid, invalidCount }) => ({ added: 0, known: 0, changed: 0, repeated, invalid, invalidCount, keys: [], ids: [] });

/** Adds what the server says of a piece, whose lines are those of the keys from start on. */
export function addResult(sum, { added, duplicates, updated, invalid, invalid_count: count, keys, ids }, { lines }, start = 0) {
  return {
    added: sum.added + added,
    known: sum.known + duplicates - updated,
    changed: sum.changed + updated,
    repeated: sum.repeated,
    invalidCount: sum.invalidCount + count,
    invalid: [...sum.invalid, ...invalid.map(({ line, reason }) => ({ line: lines[start + line - 1], reason }))],
    keys: [...sum.keys, ...keys],
    ids: [...sum.ids, ...ids],
  };
}

/** Asks the upstream about keys, some at once, and counts what it says, by what was found; tell(checked) may say false to stop. */
export async function checkAll(pool, ids, tell) {
  const checked = { done: 0, usable: 0, spent: 0, refused: 0, not_told: 0 };
  const left = [...ids];
  let goesOn = true;
  const work = async () => {
    while (goesOn && left.length) {
      const answer = await post(`${paths.key(pool, left.shift())}/check`, {}).catch(() => null);
      checked[answer?.found ?? 'not_told']++;
      checked.done++;
      goesOn = tell(checked) && goesOn;
    }
  };
  await Promise.all(Array.from({ length: CHECKS }, work));
  return checked;
}
