// SPDX-License-Identifier: Apache-2.0
// HTML from templates: whatever is put into one is text, unless a template made it.

const entities = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

/** Markup that a template made; nothing else makes one. */
class Markup {
  #text;

  constructor(text) {
    this.#text = text;
  }

  toString() {
    return this.#text;
  }
}

const escape = (value) => String(value).replace(/[&<>"']/g, (c) => entities[c]);

/** Nothing is shown of null, undefined and booleans; lists are shown element by element. */
function piece(value) {
  if (value instanceof Markup) {
    return value.toString();
  }
  if (Array.isArray(value)) {
    return value.map(piece).join('');
  }
  return value === null || value === undefined || typeof value === 'boolean' ? '' : escape(value);
}

/** html`<p>${text}</p>`: markup in which every value is escaped. Values in attributes need quotes. */
export function html(strings, ...values) {
  return new Markup(strings.reduce((text, part, i) => text + piece(values[i - 1]) + part));
}

/** An attribute without a value, or nothing. */
export const flag = (name, on) => (on ? html` ${name}` : '');
