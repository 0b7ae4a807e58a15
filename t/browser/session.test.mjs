// SPDX-License-Identifier: Apache-2.0
// Signing in and out, a session that ends while somebody types, and those who may only look.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { api, given, launch, noProblems, openPage, openView, press, provoking, settled, signIn } from './lib.mjs';

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
  await provoking(page, /^401 .*\/api\/session$/, async () => {
    await press(page, 'Sign in');
    await page.getByRole('alert').getByText('Name or password is wrong.').waitFor();
  });
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

/** Types a client's name and limit, which are to be there when the session is a new one. */
async function typeClient(page, name) {
  await press(page, 'Create client');
  await page.fill('dialog input[name=name]', name);
  await page.fill('dialog input[name=rpm]', '77');
}

async function clientIsMade(page, name) {
  await page.getByRole('dialog', { name: `The key of ${name}` }).waitFor();
  assert.equal((await api('GET', `clients/${name}`)).rpm, 77);
  await api('DELETE', `clients/${name}`);
}

const signInAgain = (page) => page.getByRole('dialog', { name: 'Sign in again' });

test('a session that is ended elsewhere while somebody types loses nothing', async () => {
  const page = await openPage(browser);
  await signIn(page, { view: 'clients' });
  await typeClient(page, 'typed-before-the-end');
  const again = signInAgain(page);
  await provoking(page, /^401 .*\/api\/(?:clients|events|pools)$/, async () => {
    await page.context().request.delete(`${given.base}/apipool/api/session`, { headers: { Origin: given.base } });
    // not by the mouse: what the server sends by itself may bring the other dialog first, which lies above the button
    await page.locator('dialog').first().getByRole('button', { name: 'Create client' }).evaluate((button) => button.click());
    await again.waitFor();
  });
  assert.equal(await again.locator('input[name=username]').inputValue(), 'alice');
  await again.locator('input[name=password]').fill('wrong');
  await provoking(page, /^401 .*\/api\/session$/, async () => {
    await again.getByRole('button', { name: 'Sign in' }).click();
    await again.getByRole('alert').waitFor();
  });
  await again.locator('input[name=password]').fill('wonderland');
  await again.getByRole('button', { name: 'Sign in' }).click();
  await clientIsMade(page, 'typed-before-the-end');
  await noProblems(page);
});

test('a session whose time is over is renewed before a request fails, and loses nothing', async () => {
  const page = await openPage(browser, { storage: { pool: 'main' } });
  await page.clock.install({ time: Date.now() + 3600000 }); // the clocks of browser and server do not agree
  await page.clock.resume();
  await signIn(page, { mount: '/brief', view: 'clients' });
  await typeClient(page, 'typed-before-time-was-over');
  const again = signInAgain(page);
  await again.waitFor({ timeout: 15000 });
  await page.locator('[data-live=stale]').waitFor({ state: 'attached' });
  await again.locator('input[name=password]').fill('wonderland');
  await again.getByRole('button', { name: 'Sign in' }).click();
  await page.locator('[data-live=live]').waitFor({ state: 'attached' });
  await page.locator('dialog').first().getByRole('button', { name: 'Create client' }).click();
  await clientIsMade(page, 'typed-before-time-was-over');
  await noProblems(page);
});

test('where httpd has the login, the page asks for none', async () => {
  const page = await openPage(browser, { password: { username: 'alice', password: 'wonderland' } });
  await page.goto(`${given.base}/basic/#/clients`);
  await settled(page);
  assert.equal(await page.getByRole('button', { name: 'Sign out' }).count(), 0);
  await typeClient(page, 'typed-behind-httpd');
  let isOver = true;
  await page.route('**/api/clients', (route) => (isOver ? route.fulfill({ status: 401, json: { error: { code: 'unauthorized', message: '' } } }) : route.continue()));
  const again = signInAgain(page);
  await provoking(page, /^401 .*\/api\/clients$/, async () => {
    await page.locator('dialog').first().getByRole('button', { name: 'Create client' }).click();
    await again.waitFor();
  });
  isOver = false;
  await again.getByRole('link', { name: 'Open a window' }).waitFor();
  await again.getByRole('button', { name: 'Continue' }).click();
  await clientIsMade(page, 'typed-behind-httpd');
  await noProblems(page);
});

test('where httpd names nobody, the page says so', async () => {
  const page = await openPage(browser);
  await page.goto(`${given.base}/anyone/`);
  await page.getByRole('alert').getByText('The server does not know who you are.').waitFor();
  assert.equal(await page.locator('input').count(), 0);
  await press(page, 'Try again');
  await page.getByRole('alert').waitFor();
  await noProblems(page);
});

test('viewers see everything and change nothing', async () => {
  const page = await openPage(browser, { storage: { pool: 'main' } });
  await signIn(page, { user: 'bob', password: 'builder' });
  await page.getByText('read-only').waitFor();
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
