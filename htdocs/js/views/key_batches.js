// SPDX-License-Identifier: Apache-2.0
// The keys of an import, cut into pieces that are sent one after the other.

export const BATCH = 5000;

/** Some of the keys that have been read, as the server takes them: { json | text }. */
export const part = ({ keys, more }, start = 0, end = keys.length) => (more ? { json: more.slice(start, end) } : { text: keys.slice(start, end).join('\n') });

/** All of them in pieces: { start, end }. */
export function batches({ keys }) {
  const list = [];
  for (let start = 0; start < keys.length; start += BATCH) {
    list.push({ start, end: Math.min(start + BATCH, keys.length) });
  }
  return list;
}

/** What has come of nothing yet: what is invalid or there twice in the text itself counts from the beginning. */
export const outcome = ({ repeated, invalid, invalidCount }) => ({ added: 0, known: 0, changed: 0, repeated, invalid, invalidCount });

/** Adds what the server says of a piece, whose lines are those of the keys from start on. */
export function addResult(sum, { added, duplicates, updated, invalid, invalid_count: count }, { lines }, start = 0) {
  return {
    added: sum.added + added,
    known: sum.known + duplicates - updated,
    changed: sum.changed + updated,
    repeated: sum.repeated,
    invalidCount: sum.invalidCount + count,
    invalid: [...sum.invalid, ...invalid.map(({ line, reason }) => ({ line: lines[start + line - 1], reason }))],
  };
}
