// SPDX-License-Identifier: Apache-2.0
// The pictures of docs/, taken from the demo: node pictures.mjs URL USER PASSWORD FOLDER, after sh quickstart.sh.
import { chromium } from 'playwright-core';

const [base, user, password, folder] = process.argv.slice(2);

const PICTURES = [
  { name: 'overview', view: 'overview' },
  { name: 'keys', view: 'keys?sort=errors&order=desc' },
  { name: 'requests', view: 'requests?status=rotated', dark: true, unfold: 2 },
  { name: 'chinese', view: 'overview', dark: true, language: 'zh-CN' },
];

const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] });
for (const { name, view, dark, language = 'en-US', unfold = 0 } of PICTURES) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, colorScheme: dark ? 'dark' : 'light', locale: language });
  const page = await context.newPage();
  await page.goto(`${base}#/${view}`);
  await page.fill('input[name=username]', user);
  await page.fill('input[name=password]', password);
  await page.press('input[name=password]', 'Enter');
  await page.waitForSelector('nav');
  await page.waitForTimeout(3000);
  for (let i = 0; i < unfold; i++) {
    await page.locator('[data-on-click=unfold]').nth(i).click();
  }
  await page.waitForTimeout(500);
  await page.screenshot({ path: `${folder}/dashboard-${name}.png` });
  await context.close();
}
await browser.close();
