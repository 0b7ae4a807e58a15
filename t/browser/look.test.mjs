// SPDX-License-Identifier: Apache-2.0
// How it looks: every view in both themes and languages, on a phone; that it can be used by everyone; that names are text.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { api, chat, given, launch, noProblems, openPage, openView, press, provoking, screenshot, settled, signIn, violations } from './lib.mjs';

const VIEWS = ['overview', 'keys', 'requests', 'clients', 'settings'];
const EVIL = '<img src=x onerror=window.hacked=1>';

let browser;
before(async () => {
  browser = await launch();
});
after(() => browser.close());

async function noViolations(page, what) {
  assert.deepEqual(await violations(page), [], what);
}

/** Every view and the larger dialogs. */
async function tour(page, name) {
  await page.goto(`${given.base}/apipool/`);
  await page.waitForSelector('input[name=password]');
  await screenshot(page, `signin-${name}`);
  await noViolations(page, `signin ${name}`);
  await signIn(page);
  for (const view of VIEWS) {
    await openView(page, view);
    await page.waitForTimeout(300);
    await screenshot(page, `${view}-${name}`);
    await noViolations(page, `${view} ${name}`);
  }
  await dialogs(page, name);
}

async function dialogs(page, name) {
  const steps = [['keys', '[data-on-click=import]', 'import'], ['keys', 'button.key', 'key'], ['keys', '[data-on-click=remove]', 'delete'], ['clients', '[data-on-click=create]', 'client']];
  for (const [view, selector, what] of steps) {
    await openView(page, view);
    await page.locator(selector).first().click();
    await page.waitForSelector('dialog form');
    if (what === 'import') {
      await page.fill('dialog textarea', '# from the old gateway\nsk-ok-shown-one-aaaaaaaa\nsk-ok-shown-two-aaaaaaaa, sk-ok-shown-one-aaaaaaaa\n"sk-ok-quoted"');
      await page.waitForSelector('[data-count=bad]');
    }
    await screenshot(page, `${what}-${name}`);
    await noViolations(page, `${what} ${name}`);
    await page.keyboard.press('Escape');
    await page.waitForFunction(() => !document.querySelector('dialog'));
  }
  await openView(page, 'keys');
  await page.locator('[data-on-change=selectPage]').check();
  await noViolations(page, `selection ${name}`);
  await openView(page, 'requests');
  await page.locator('[data-on-click=unfold]').first().click();
  await noViolations(page, `attempts ${name}`);
}

for (const [language, text] of [['en-US', 'Overview'], ['zh-CN', '概览']]) {
  for (const dark of [false, true]) {
    const name = `${dark ? 'dark' : 'light'}-${language.slice(0, 2)}`;
    test(`every view, ${name}`, async () => {
      const page = await openPage(browser, { language, dark, storage: { pool: 'main' } });
      await tour(page, name);
      await page.locator('nav').getByText(text).waitFor();
      const luminance = await page.evaluate(() => getComputedStyle(document.body).backgroundColor.match(/\d+/g).reduce((sum, part) => sum + Number(part), 0));
      assert.equal(luminance < 200, dark, 'the theme is that of the system');
      assert.equal(await page.evaluate(() => document.documentElement.lang), language === 'en-US' ? 'en' : 'zh-CN');
      await noProblems(page);
    });
  }
}

test('every view on a phone, nothing wider than it', async () => {
  const page = await openPage(browser, { width: 360, height: 740, storage: { pool: 'main' } });
  await signIn(page);
  for (const view of VIEWS) {
    await openView(page, view);
    await screenshot(page, `${view}-phone`);
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth) <= 360, `${view} fits`);
    await noViolations(page, `${view} on a phone`);
  }
  await openView(page, 'keys');
  await page.locator('[data-on-click=import]').click();
  assert.ok(await page.evaluate(() => document.querySelector('dialog').getBoundingClientRect().width) <= 360);
  await page.keyboard.press('Escape');
  await openView(page, 'clients');
  await press(page, 'Create client');
  await page.getByRole('dialog').getByLabel('Name').fill('on-a-phone');
  await press(page.getByRole('dialog').last(), 'Create client');
  await page.locator('[data-client-key]').waitFor();
  assert.ok(await page.locator('dialog').last().evaluate((one) => one.scrollWidth <= one.clientWidth), 'a key with its examples fits');
  await noViolations(page, 'a key on a phone');
  await press(page, 'I have copied it');
  await api('DELETE', 'clients/on-a-phone');
  await noProblems(page);
});

test('language and theme are chosen, and remembered', async () => {
  const page = await openPage(browser);
  await signIn(page, { view: 'keys' });
  await page.getByLabel('Language').selectOption('zh');
  await page.locator('h1').getByText('密钥').waitFor();
  await page.getByLabel('主题').selectOption('dark');
  await page.reload();
  await settled(page);
  await page.locator('h1').getByText('密钥').waitFor();
  await openView(page, 'settings');
  assert.deepEqual(await page.evaluate(async () => {
    const { compact } = await import(new URL('js/format.js', location.href).href);
    return [compact(2322), compact(123456)];
  }), ['2,322', '12.3万'], 'short numbers have separators too');
  assert.ok(!/\boff\b/.test(await page.textContent('main')), 'what is off is so in Chinese');
  assert.equal(await page.evaluate(() => getComputedStyle(document.documentElement).colorScheme), 'dark');
  await noProblems(page);
});

test('without Chart.js the numbers are there as tables', async () => {
  const page = await openPage(browser, { storage: { pool: 'main' } });
  await page.route('**/vendor/chart.min.js', (route) => route.fulfill({ status: 404 }));
  await provoking(page, /^404 .*\/vendor\/chart\.min\.js$/, async () => {
    await signIn(page);
    await page.getByText('Charts need Chart.js').first().waitFor();
  });
  await page.getByText('As a table').first().click();
  assert.equal(await page.locator('[data-chart=requests] tbody tr').count(), 60);
  await noProblems(page);
});

test('a chart as a table has nothing between its rows, and times in one form', async () => {
  const ahead = 12 - new Date().getUTCHours(); // noon, so that the last 24 hours are of two days
  const page = await openPage(browser, { zone: `Etc/GMT${ahead < 0 ? '+' : '-'}${Math.abs(ahead)}`, storage: { pool: 'main' } });
  await signIn(page);
  await press(page, /24/);
  await page.waitForFunction(() => document.querySelectorAll('[data-chart=requests] tbody tr').length === 24);
  await page.getByText('As a table').first().click();
  const between = await page.locator('[data-chart] tbody').evaluateAll((bodies) => bodies.map((body) => [...body.childNodes].filter(
    (node) => node.nodeType === Node.TEXT_NODE).map(({ data }) => data.trim()).join('')).join(''));
  assert.equal(between, '');
  const times = await page.locator('[data-chart=requests] tbody th').allTextContents();
  assert.deepEqual([...new Set(times.map((text) => text.replaceAll(/\d+/g, '0').replace(/^\p{L}+/u, 'M')))], ['M 0, 0, 0:0:0']);
  await noProblems(page);
});

test('the success that is shown is of the chosen range, and the chart tells whose failures are', async () => {
  const page = await openPage(browser, { storage: { pool: 'main' } });
  await page.route(/\/stats\?range=24h$/, async (route) => {
    const stats = await (await route.fetch()).json();
    stats.series.at(-1).kinds = { client: 4321, key: 0, upstream: 0 };
    await route.fulfill({ json: { ...stats, success_rate: 0.25 } });
  });
  await signIn(page);
  await press(page, /24/);
  await page.locator('[data-tile=success]').getByText('25%').waitFor();
  await page.getByText('24 hours, without clients’ mistakes').waitFor();
  await page.getByText('As a table').first().click();
  assert.deepEqual(await page.locator('[data-chart=requests] thead th').allTextContents(),
    ['Time', 'served', 'clients’ mistakes', 'errors of keys', 'errors of upstreams']);
  await noProblems(page);
});

test('times are in the zone of the viewer', async () => {
  await chat(null, { path: '/open/v1' });
  const [{ at }] = (await api('GET', 'requests?pool=main&limit=1')).requests;
  const page = await openPage(browser, { zone: 'Asia/Kolkata', storage: { pool: 'main' } });
  await signIn(page, { view: 'requests' });
  const here = new Intl.DateTimeFormat('en-US', { timeZone: 'Asia/Kolkata', timeStyle: 'medium', hourCycle: 'h23' }).format(new Date(at));
  assert.match(await page.locator(`time[datetime="${at}"]`).first().textContent(), new RegExp(`${here}$`));
  await noProblems(page);
});

test('names that look like markup are text everywhere', async () => {
  const page = await openPage(browser, { storage: { pool: 'main' } });
  const key = (await api('GET', 'pools/main/keys?q=evil')).keys[0];
  await api('PATCH', `pools/main/keys/${key.id}`, { label: EVIL, account: EVIL });
  await chat(null, { path: '/open/v1', model: EVIL });
  await signIn(page);
  await page.waitForFunction((text) => document.body.innerText.includes(text), EVIL);
  for (const view of VIEWS) {
    await openView(page, view);
    assert.equal(await page.locator('img').count(), 0, view);
  }
  await openView(page, 'keys?q=onerror');
  await page.getByText(EVIL).first().waitFor();
  await page.locator('button.key').first().click();
  await page.getByRole('dialog').waitFor();
  await page.keyboard.press('Escape');
  await page.locator('[data-on-click=remove]').first().click();
  await page.getByRole('dialog').getByText(EVIL).first().waitFor();
  await page.keyboard.press('Escape');
  await page.locator('[data-on-change=selectPage]').check();
  await press(page, 'Reset');
  await page.getByRole('dialog').getByText(EVIL).first().waitFor();
  await press(page.getByRole('dialog'), 'Reset');
  await openView(page, 'requests');
  await page.getByLabel('Model').selectOption(EVIL);
  await page.locator('td').getByText(EVIL).first().waitFor();
  assert.equal(await page.locator('img').count(), 0);
  assert.equal(await page.evaluate(() => window.hacked), undefined);
  await noProblems(page);
});
