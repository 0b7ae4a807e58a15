// SPDX-License-Identifier: Apache-2.0
// Tables of keys, read as the server reads them (src/core/key_table.c): CSV whose first line names the columns.

const COLUMNS = { key: 'key', api_key: 'key', apikey: 'key', key_value: 'key', '\u5bc6\u94a5': 'key', label: 'label', name: 'label', '\u6807\u7b7e': 'label', '\u540d\u79f0': 'label',
  account: 'account', '\u8d26\u53f7': 'account', weight: 'weight', '\u6743\u91cd': 'weight', enabled: 'enabled', rpm: 'rpm', rpd: 'rpd', tpm: 'tpm', tpd: 'tpd', concurrency: 'concurrency' };
const LIMITS = new Set(['rpm', 'rpd', 'tpm', 'tpd', 'concurrency']);
const FLAGS = { 0: false, 1: true, false: false, true: true, no: false, yes: true };
const COLUMNS_MAX = 32;

const trim = (text) => text.replace(/^[ \t\r"']+|[ \t\r"']+$/g, '');

/** What may be a key, so that its line is no head. */
const isLikeKey = (text) => text.length >= 16 && /\d/.test(text) && !/[*@]|\.\.\.|:\/\/|^[<$]|os\.environ\//.test(text);

/** What a line says of the columns of a table: { delimiter, columns }; null where it does not. */
export function tableHead(line) {
  const delimiter = /[,;|\t]/.exec(line)?.[0] ?? ',';
  const cells = line.split(delimiter).slice(0, COLUMNS_MAX).map(trim);
  const columns = cells.map((cell) => COLUMNS[cell.toLowerCase().replace(/[ -]/g, '_')] ?? '');
  return columns.includes('key') && !cells.some(isLikeKey) ? { delimiter, columns } : null;
}

function valueOf(column, text) {
  if (column === 'enabled') {
    return FLAGS[text.toLowerCase()] ?? text;
  }
  return (column === 'weight' || LIMITS.has(column)) && /^\d{1,10}$/.test(text) ? Number(text) : text;
}

/** The object that a row stands for; null where it is empty. */
function objectOf(columns, cells) {
  const object = {};
  let isEmpty = true;
  columns.forEach((column, i) => {
    const text = trim(cells[i] ?? '');
    isEmpty &&= !text;
    const to = LIMITS.has(column) && text ? object.limits ??= {} : object;
    if (column && text) {
      to[column] ??= valueOf(column, text);
    }
  });
  return isEmpty ? null : object;
}

/** Tells take(object, line) of each row that is not empty. */
export function readRows(text, { delimiter, columns }, first, take) {
  const cell = new RegExp(`[ \\t]*"(?:[^"]|"")*"?[^${delimiter}\\n]*|[^${delimiter}\\n]*`, 'y');
  let line = first;
  for (let at = 0; at < text.length;) {
    const cells = [];
    const start = line;
    let end = delimiter;
    while (end === delimiter) {
      cell.lastIndex = at;
      const [raw] = cell.exec(text);
      line += raw.split('\n').length - 1;
      cells.push(raw.replace(/^[ \t]*"((?:[^"]|"")*)"?/, (whole, quoted) => quoted.replaceAll('""', '"')));
      end = text[at + raw.length];
      at += raw.length + 1;
    }
    const object = objectOf(columns, cells);
    line++;
    if (object) {
      take(object, start);
    }
  }
}
