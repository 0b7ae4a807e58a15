// SPDX-License-Identifier: Apache-2.0
// Icons: lines in the colour of the text around them. What they mean is said in words beside them.
import { html } from '../template.js';

const shapes = {
  overview: html`<path d="M3 3v18h18"/><path d="M7 15l4-5 3 3 5-7"/>`,
  keys: html`<circle cx="8" cy="12" r="4"/><path d="M12 12h9M21 12v4M17 12v3"/>`,
  requests: html`<path d="M4 7h13M14 4l3 3-3 3M20 17H7M10 14l-3 3 3 3"/>`,
  clients: html`<circle cx="12" cy="8" r="4"/><path d="M4 21c1-5 4-7 8-7s7 2 8 7"/>`,
  settings: html`<path d="M4 7h9M17 7h3M4 17h3M11 17h9"/><circle cx="15" cy="7" r="2"/><circle cx="9" cy="17" r="2"/>`,
  theme: html`<circle cx="12" cy="12" r="8"/><path d="M12 4a8 8 0 0 1 0 16z" fill="currentColor"/>`,
  language: html`<circle cx="12" cy="12" r="9"/><path d="M3 12h18M12 3c3 3 3 15 0 18M12 3c-3 3-3 15 0 18"/>`,
  out: html`<path d="M10 4H5v16h5M14 8l4 4-4 4M18 12H9"/>`,
  check: html`<path d="M4 12a8 8 0 0 1 14-5l2 2M20 4v5h-5M20 12a8 8 0 0 1-14 5l-2-2M4 20v-5h5"/>`,
  edit: html`<path d="M4 20l1-5L16 4l4 4L9 19z"/>`,
  pause: html`<path d="M9 5v14M15 5v14"/>`,
  play: html`<path d="M7 5l12 7-12 7z"/>`,
  remove: html`<path d="M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13"/>`,
  close: html`<path d="M6 6l12 12M18 6L6 18"/>`,
  copy: html`<rect x="8" y="8" width="12" height="12" rx="2"/><path d="M16 8V4H4v12h4"/>`,
  down: html`<path d="M12 4v12M7 11l5 5 5-5M4 20h16"/>`,
  up: html`<path d="M12 20V8M7 13l5-5 5 5M4 4h16"/>`,
  plus: html`<path d="M12 5v14M5 12h14"/>`,
  search: html`<circle cx="11" cy="11" r="6"/><path d="M16 16l5 5"/>`,
  more: html`<path d="M9 5l7 7-7 7"/>`,
};

export const icon = (name) => html`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">${shapes[name]}</svg>`;
