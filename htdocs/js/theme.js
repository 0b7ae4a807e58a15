// SPDX-License-Identifier: Apache-2.0
// Light or dark: as the system has it, or as it was chosen.
import { load, save } from './storage.js';

export const THEMES = ['system', 'light', 'dark'];

export const currentTheme = () => load('theme') ?? document.documentElement.dataset.theme ?? 'system';

export function chooseTheme(name) {
  if (name === 'system') {
    delete document.documentElement.dataset.theme;
    save('theme', null);
  } else {
    document.documentElement.dataset.theme = name;
    save('theme', name);
  }
}
