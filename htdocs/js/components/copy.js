// SPDX-License-Identifier: Apache-2.0
// Texts that leave the page: to the clipboard, or as a file.
import { t } from '../i18n.js';
import { html } from '../template.js';
import { openDialog } from './dialog.js';
import { say } from './news.js';

/** Browsers keep the clipboard to secure pages; others show the text to be copied by hand. */
export async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    say(t('copy.done', { what }));
  } catch {
    openDialog({
      title: () => t('copy.title'),
      body: () => html`<label class="field">${t('copy.hint')}<textarea rows="8" readonly data-focus>${text}</textarea></label>`,
    });
  }
}

export function download(name, type, text) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

/** A field of CSV. What a spreadsheet would take for a formula becomes text. */
function csvField(value) {
  const text = value === null || value === undefined ? '' : String(value);
  const safe = typeof value === 'string' && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

export const csv = (rows) => `${rows.map((row) => row.map(csvField).join(',')).join('\r\n')}\r\n`;
