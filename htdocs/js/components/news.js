// SPDX-License-Identifier: Apache-2.0
// Short messages at the edge of the page, read aloud by screen readers.

const SHOWN = 7000;

/** Says something for a while. */
export function say(text, kind = 'good') {
  const line = document.createElement('p');
  line.className = `news ${kind}`;
  line.textContent = text;
  const place = [...document.querySelectorAll('dialog[open]')].at(-1)?.querySelector('[data-news]')
    ?? document.getElementById('news');
  place.append(line);
  setTimeout(() => line.remove(), SHOWN);
}
