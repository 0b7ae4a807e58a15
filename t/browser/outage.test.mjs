// SPDX-License-Identifier: Apache-2.0
// Pools that serve nobody: maintenance is begun and ended on the page, and a store that cannot be used is told everywhere.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { api, given, launch, noProblems, openPage, openView, press, provoking, signIn } from './lib.mjs';

let browser;
before(async () => {
  browser = await launch();
});
after(() => browser.close());

const maintenance = async () => (await api('GET', 'pools/main')).maintenance;
const notice = (page, kind) => page.locator(`.outages [data-outage=${kind}]`);

test('maintenance is begun, changed and ended', async () => {
  const page = await openPage(browser, { storage: { pool: 'main' } });
  await signIn(page, { view: 'settings' });
  const card = page.getByRole('region', { name: 'Pool main' });
  assert.equal(await notice(page, 'maintenance').count(), 0);
  await card.getByRole('button', { name: 'Begin maintenance' }).click();
  await page.fill('dialog input[name=until]', '2001-01-01T00:00');
  await provoking(page, /^400 .*\/pools\/main$/, async () => {
    await page.locator('dialog').getByRole('button', { name: 'Begin maintenance' }).click();
    await page.locator('dialog .fault').getByText('future').waitFor();
  });
  await page.fill('dialog input[name=until]', '');
  await page.fill('dialog input[name=message]', 'Back at noon');
  await page.locator('dialog').getByRole('button', { name: 'Begin maintenance' }).click();
  await notice(page, 'maintenance').getByText('Back at noon').waitFor();
  assert.deepEqual(await maintenance(), { until: null, message: 'Back at noon' });
  await openView(page, 'keys');
  assert.match(await notice(page, 'maintenance').textContent(), /main is in maintenance\./);
  await openView(page, 'settings');
  await card.getByRole('button', { name: 'Change maintenance' }).click();
  assert.equal(await page.inputValue('dialog input[name=message]'), 'Back at noon');
  await page.fill('dialog input[name=until]', '2099-01-01T00:00');
  await press(page, 'Save');
  await notice(page, 'maintenance').getByText('until').waitFor();
  assert.equal((await maintenance()).until.slice(0, 19), '2099-01-01T00:00:00');
  await card.getByRole('button', { name: 'End maintenance' }).click();
  await page.locator('dialog').getByRole('button', { name: 'End maintenance' }).click();
  await notice(page, 'maintenance').waitFor({ state: 'detached' });
  assert.equal(await maintenance(), null);
  await noProblems(page);
});

test('viewers see no switch', async () => {
  const page = await openPage(browser);
  await signIn(page, { view: 'settings', user: 'bob', password: 'builder' });
  assert.equal(await page.getByRole('button', { name: 'Begin maintenance' }).count(), 0);
});

for (const [language, words] of [['en-US', 'The store cannot be used.'], ['zh-CN', '数据目录无法使用。']]) {
  test(`a store that cannot be used is told in every view: ${language}`, async () => {
    const page = await openPage(browser, { language, width: language === 'en-US' ? 1360 : 390 });
    await signIn(page, { base: given.broken });
    for (const view of ['overview', 'keys', 'requests', 'clients', 'settings']) {
      await openView(page, view);
      const text = await notice(page, 'fault').textContent();
      assert.ok(text.includes(words), `${view}: ${text}`);
      assert.match(text, /the pools answer 503 .*: secret file .* is missing/);
    }
    await noProblems(page);
  });
}
