// SPDX-License-Identifier: Apache-2.0
// Signing in and out, a session that ends while somebody types, and those who may only look.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { api, given, launch, noProblems, openPage, openView, press, settled, signIn } from './lib.mjs';

let browser;
before(async () => {
  browser = await launch();
});
after(() => browser.close());

test('a wrong password is told, and the name stays', async () => {
  const page = await openPage(browser);
  await page.goto(`${given.base}/apipool/`);
  await page.fill('input[name=username]', 'alice');
  await page.fill('input[name=password]', 'not wonderland');
  await press(page, 'Sign in');
  await page.getByRole('alert').getByText('Name or password is wrong.').waitFor();
  assert.equal(await page.inputValue('input[name=username]'), 'alice');
  await page.fill('input[name=password]', 'wonderland');
  await page.keyboard.press('Enter');
  await page.waitForSelector('nav');
  await noProblems(page);
});

test('a reload keeps the session, and signing out ends it', async () => {
  const page = await openPage(browser);
  await signIn(page, { view: 'keys' });
  await page.reload();
  await settled(page);
  assert.equal(await page.textContent('h1'), 'Keys');
  await press(page, 'Sign out');
  await page.waitForSelector('input[name=password]');
  await page.reload();
  await page.waitForSelector('input[name=password]');
  await noProblems(page);
});

test('a session that ends while somebody types loses nothing', async () => {
  const page = await openPage(browser, { expected: [/^401 /] });
  await signIn(page, { view: 'clients' });
  await press(page, 'Create client');
  await page.fill('dialog input[name=name]', 'typed-before-the-end');
  await page.fill('dialog input[name=rpm]', '77');
  await page.context().request.delete(`${given.base}/apipool/api/session`, { headers: { Origin: given.base } });
  await page.locator('dialog').first().getByRole('button', { name: 'Create client' }).click();
  const again = page.getByRole('dialog', { name: 'Sign in again' });
  await again.waitFor();
  assert.equal(await again.locator('input[name=username]').inputValue(), 'alice');
  await again.locator('input[name=password]').fill('wrong');
  await again.getByRole('button', { name: 'Sign in' }).click();
  await again.getByRole('alert').waitFor();
  await again.locator('input[name=password]').fill('wonderland');
  await again.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('dialog', { name: 'The key of typed-before-the-end' }).waitFor();
  const client = await api('GET', 'clients/typed-before-the-end');
  assert.equal(client.rpm, 77);
  await api('DELETE', 'clients/typed-before-the-end');
  await noProblems(page);
});

test('viewers see everything and change nothing', async () => {
  const page = await openPage(browser);
  await signIn(page, { user: 'bob', password: 'builder' });
  await page.getByText('looks only').waitFor();
  for (const [view, button] of [['keys', 'Import keys'], ['clients', 'Create client'], ['settings', 'Set']]) {
    await openView(page, view);
    assert.equal(await page.getByRole('button', { name: button, exact: true }).count(), 0, `${view}: no "${button}"`);
  }
  await openView(page, 'keys');
  assert.equal(await page.locator('td.actions button').count(), 0);
  await page.locator('button.key').first().click();
  await page.getByRole('dialog').getByText('Added').waitFor();
  assert.equal(await page.getByRole('dialog').getByRole('button', { name: 'Save' }).count(), 0);
  await noProblems(page);
});
