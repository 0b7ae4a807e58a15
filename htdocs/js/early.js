// SPDX-License-Identifier: Apache-2.0
// Sets the theme that was chosen before anything is drawn.
try {
  const theme = localStorage.getItem('apipool.theme');
  if (theme === 'light' || theme === 'dark') {
    document.documentElement.dataset.theme = theme;
  }
} catch {
  // without storage the system's theme counts
}
