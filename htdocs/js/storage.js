// SPDX-License-Identifier: Apache-2.0
// What the browser remembers between visits: choices, and no secret.

/** What was saved under a name, or null. */
export function load(name) {
  try {
    return localStorage.getItem(`apipool.${name}`);
  } catch {
    return null;
  }
}

/** Null takes it away. Browsers may refuse storage: then nothing is remembered. */
export function save(name, value) {
  try {
    if (value === null) {
      localStorage.removeItem(`apipool.${name}`);
    } else {
      localStorage.setItem(`apipool.${name}`, value);
    }
  } catch {
    // the choice holds until the page is closed
  }
}
