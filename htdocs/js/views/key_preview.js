// SPDX-License-Identifier: Apache-2.0
// What an import would do, key by key: those that it takes, those that do not look like a key, and what is none.
import { button } from '../components/parts.js';
import { number } from '../format.js';
import { t } from '../i18n.js';
import { flag, html } from '../template.js';

const LISTED = 100;

/** The server's reasons, and the names of our texts for them. */
const REASONS = {
  'empty key': 'empty',
  'key longer than 4096 bytes': 'long',
  'control character in a key': 'control',
  'character outside ASCII in a key (was it copied in its masked form?)': 'ascii',
  'neither a string nor an object': 'element',
  'object without a string "key"': 'object',
  'malformed JSON': 'json',
  'JSON that is nested too deeply, or has too many values': 'excess',
  '"enabled" is neither true nor false': 'enabled',
  '"weight" is not a whole number from 1 to 1000': 'weight',
  '"account" is not a string of at most 64 bytes without control characters': 'account',
  '"label" is not a string of at most 120 bytes without control characters': 'label',
  '"limits" is not an object of whole numbers above 0': 'limits',
};

const reasonText = (reason) => (reason in REASONS ? t(`fault.${REASONS[reason]}`) : reason);

/** Numbers with their names. */
export const counts = (list) => html`<dl class="counts">${list.map(([name, value]) => html`<div class="${name}"><dt>${t(`import.${name}`)}</dt><dd data-count="${name}">${number(value)}</dd></div>`)}</dl>`;

/** What holds keys in JSON is counted by itself, but not where that cannot be read. */
const whereText = ({ line, reason }, isJson) => t(isJson && reason !== 'malformed JSON' ? 'import.element' : 'import.line', { n: line });

export const invalidLines = ({ invalid, invalidCount }, isJson) => (invalidCount ? html`<details class="invalid" open><summary>${t('import.invalid_lines', { n: invalidCount })}</summary>
  <ul class="rows plain scroll" tabindex="0">${invalid.slice(0, LISTED).map((one) => html`<li><span>${whereText(one, isJson)}</span><span>${reasonText(one.reason)}</span></li>`)}</ul>
  ${invalidCount > LISTED ? html`<p class="hint">${t('import.more', { n: invalidCount - LISTED })}</p>` : ''}${button({ name: 'save', text: t('import.save_invalid'), icon: 'down' })}</details>` : '');

/** All keys that are taken, masked, as far as the server lists them. */
export function keyList({ keys, added, known, changed }) {
  const rest = added + known + changed - keys.length;
  return keys.length ? html`<details class="invalid" open><summary>${t('import.keys', { n: added + known + changed })}</summary>
    <ul class="rows plain scroll" tabindex="0" data-list="keys">${keys.map(({ masked, label, account, result }) => html`<li><code>${masked}</code>
      <span>${[t(`import.${result}`), label, account].filter(Boolean).join(' · ')}</span></li>`)}</ul>
    ${rest > 0 ? html`<p class="hint">${t('import.more_keys', { n: rest })}</p>` : ''}</details>` : '';
}

/** What is in doubt, with a choice for each and one for all. */
export function doubtList({ doubtful, confirmed, read }) {
  if (!doubtful.length) {
    return '';
  }
  return html`<details class="invalid" open><summary>${t('import.doubtful_keys', { n: doubtful.length })}</summary>
    <p class="hint">${t('import.doubt_hint')}</p>
    <label class="tick"><input type="checkbox" data-on-change="confirmAll"${flag('checked', confirmed.size === doubtful.length)}> ${t('import.confirm_all')}</label>
    <ul class="rows plain scroll" tabindex="0" data-list="doubtful">${doubtful.slice(0, 1000).map(({ index, line, masked, doubt }) => html`<li>
      <label class="tick"><input type="checkbox" data-on-change="confirm" value="${index}"${flag('checked', confirmed.has(index))}> <code>${masked}</code></label>
      <span>${whereText({ line }, read.isJson)} · ${doubt}</span></li>`)}</ul></details>`;
}
