// SPDX-License-Identifier: Apache-2.0
// The text of an import, cut into pieces that are sent one after the other.

export const BATCH = 5000;

/** Pieces of an array of JSON, or of lines: { json | text, start, size }; start counts lines or elements before it. */
export function batches(text) {
  return text.trimStart().startsWith('[') ? cut(JSON.parse(text), (json) => ({ json }))
    : cut(text.split('\n'), (lines) => ({ text: lines.join('\n') }));
}

function cut(items, pack) {
  const list = [];
  for (let start = 0; start < items.length; start += BATCH) {
    const part = items.slice(start, start + BATCH);
    list.push({ ...pack(part), start, size: part.length });
  }
  return list;
}

export const nothing = () => ({ added: 0, duplicates: 0, updated: 0, invalid: [], invalid_count: 0 });

/** Adds what came of a piece; its lines are counted from its own beginning. */
export function addResult(sum, result, start) {
  return {
    added: sum.added + result.added,
    duplicates: sum.duplicates + result.duplicates,
    updated: sum.updated + result.updated,
    invalid_count: sum.invalid_count + result.invalid_count,
    invalid: [...sum.invalid, ...result.invalid.map(({ line, reason }) => ({ line: line + start, reason }))],
  };
}
