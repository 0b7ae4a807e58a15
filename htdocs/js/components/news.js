// SPDX-License-Identifier: Apache-2.0
// Short messages at the edge of the page, read aloud by screen readers.

const SHOWN = 7000;

/** What was said in a dialog is still to be read when that closes. */
export const keepNews = (dialog) => document.getElementById('news').append(...dialog.querySelectorAll('.news'));

/** Says something for a while; in a dialog, since the rest of the page is out of reach then. */
export function say(text, kind = 'good') {
  const line = document.createElement('p');
  line.className = `news ${kind}`;
  line.textContent = text;
  const place = [...document.querySelectorAll('dialog[open]')].at(-1)?.querySelector('[data-news]')
    ?? document.getElementById('news');
  place.append(line);
  setTimeout(() => line.remove(), SHOWN);
}
