// SPDX-License-Identifier: Apache-2.0
// Small parts of pages: buttons, fields, notices, bars.
import { compact, number } from '../format.js';
import { hasText, t } from '../i18n.js';
import { flag, html } from '../template.js';
import { icon } from './icons.js';

/** What is to be told of an error: our own words where there are some, else the server's. */
export function errorText(error) {
  const code = error.code ?? 'inside';
  if (!error.code) {
    console.error(error);
  }
  const name = `error.${code}`;
  if (error.status === 429) {
    return t('error.too_many', { n: error.retryAfter || 1 });
  }
  return hasText(name) ? t(name) : error.message || t('error.inside');
}

/** A button; icon alone means that its name is for those who do not see it. */
export function button({ name, label, text, icon: shape, kind = '', value, disabled, type = 'button', pressed }) {
  const title = text ? '' : html` title="${label}" aria-label="${label}"`;
  const state = pressed === undefined ? '' : html` aria-pressed="${pressed ? 'true' : 'false'}"`;
  const data = value === undefined ? '' : html` data-value="${value}"`;
  const action = name ? html` data-on-click="${name}"` : '';
  return html`<button type="${type}" class="button ${kind}"${action}${data}${title}${state}${flag('disabled', disabled)}>
    ${shape ? icon(shape) : ''}${text ? html`<span>${text}</span>` : ''}</button>`;
}

let fields = 0;

/** Ids for labels, the same each time a dialog is drawn. */
export function fieldIds() {
  const base = `f${++fields}`;
  return (name) => `${base}-${name}`;
}

/** A labelled input. attributes is markup; error and hint are told with it. */
export function field(id, { name, label, type = 'text', value = '', hint, error, autocomplete = 'off', attributes = '' }) {
  const about = [hint && `${id}-hint`, error && `${id}-error`].filter(Boolean).join(' ');
  return html`<div class="field"><label for="${id}">${label}</label>
    <input id="${id}" name="${name}" type="${type}" value="${value ?? ''}" autocomplete="${autocomplete}"${attributes}
      ${about ? html` aria-describedby="${about}"` : ''}${error ? html` aria-invalid="true"` : ''}>
    ${hint ? html`<p class="hint" id="${id}-hint">${hint}</p>` : ''}
    ${error ? html`<p class="fault" id="${id}-error">${error}</p>` : ''}</div>`;
}

/** A labelled choice of [value, text]. */
export function choice(id, { name, label, value, options, change, hidden }) {
  return html`<div class="field"><label for="${id}"${hidden ? html` class="unseen"` : ''}>${label}</label>
    <select id="${id}" name="${name}"${change ? html` data-on-change="${change}"` : ''}>
    ${options.map(([key, text]) => html`<option value="${key}"${flag('selected', key === value)}>${text}</option>`)}
    </select></div>`;
}

export const fault = (error) => (error
  ? html`<p class="notice bad" role="alert">${typeof error === 'string' ? error : errorText(error)}</p>` : '');

/** What a view shows instead of its content: while it loads, when that failed, when there is nothing. */
export const loading = () => html`<div class="blank" role="status"><span class="spinner" aria-hidden="true"></span>${t('state.loading')}</div>`;

export const failed = (error) => html`<div class="blank" role="alert"><p>${errorText(error)}</p>
  ${button({ name: 'again', text: t('action.again'), icon: 'check' })}</div>`;

export const empty = (text, action = '') => html`<div class="blank"><p>${text}</p>${action}</div>`;

/** From here on a number in a table is written shorter, and in full where the mouse rests on it. */
const LONG = 1000000;

/** How much of a limit is used, as a bar with the number; without a limit the number alone. */
export function gauge(label, value, limit) {
  const figure = value >= LONG ? html`<span class="figure" title="${number(value)}">${compact(value)}` : html`<span class="figure">${number(value)}`;
  if (!limit || value === null) {
    return html`${figure}</span>`;
  }
  const part = Math.min(value / limit, 1);
  return html`<span class="gauge">${figure}<span class="of"> / ${compact(limit)}</span></span>
    <span class="bar-of" role="meter" aria-label="${label}" aria-valuemin="0" aria-valuemax="${limit}" aria-valuenow="${Math.min(value, limit)}">
      <svg viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true"><rect class="${part > 0.8 ? 'is-high' : ''}" width="${(part * 100).toFixed(2)}" height="6"></rect></svg></span></span>`;
}

/** A share of a whole, without a judgement on it. */
export const share = (label, value, whole) => html`<progress max="${Math.max(whole, 1)}" value="${value}" aria-label="${label}"></progress>`;
