// SPDX-License-Identifier: Apache-2.0
// Clients, and numbers that move while somebody looks.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { api, chat, given, launch, noProblems, openPage, openView, press, provoking, screenshot, signIn, violations } from './lib.mjs';

const LIVE_MS = 2000;

let browser;
before(async () => {
  browser = await launch();
});
after(() => browser.close());

test('a client is made, its key is shown once and works, and it is switched off and deleted', async () => {
  const page = await openPage(browser, { storage: { pool: 'main' } });
  await signIn(page, { view: 'clients' });
  await press(page, 'Create client');
  const dialog = page.getByRole('dialog').last();
  await dialog.getByLabel('Name').fill('made-in-the-browser');
  await dialog.getByLabel('RPM').fill('50');
  await dialog.getByLabel('Models').fill('demo-model, other');
  await press(dialog, 'Create client');
  const key = await page.locator('[data-client-key]').textContent();
  assert.match(key, /^ak-[0-9A-Za-z_-]{40}$/);
  for (const [name, text] of [['curl', `Authorization: Bearer ${key}`], ['Python', `api_key="${key}"`], ['JavaScript', `apiKey: "${key}"`]]) {
    await press(page, name);
    await page.waitForFunction((part) => document.querySelector('[data-snippet]').textContent.includes(part), text);
  }
  assert.match(await page.locator('[data-snippet]').textContent(), /model: "demo-model"/, 'with a model that it may use');
  const urls = (await api('GET', 'pools/main')).locations.map(({ path }) => given.base + path);
  assert.ok(urls.includes(`${given.base}/open/v1`), 'the server knows where the pool is used');
  assert.deepEqual((await page.getByLabel('Location').locator('option').allTextContents()).filter((text) => text.includes('(pool main')), urls.map((url) => `${url} (pool main)`));
  assert.equal(await page.getByLabel('Address of the pool').inputValue(), urls[0], 'the pool that is looked at comes first');
  await page.getByLabel('Location').selectOption(`${given.base}/open/v1`);
  await page.locator('[data-snippet]').getByText(`baseURL: "${given.base}/open/v1"`).waitFor();
  await page.getByLabel('Address of the pool').fill('https://gw.example.org/ai/');
  await page.locator('[data-snippet]').getByText('baseURL: "https://gw.example.org/ai"').waitFor();
  assert.deepEqual(await violations(page), []);
  await screenshot(page, 'client-key');
  assert.equal(await chat(key), 200, 'the key works');
  assert.equal(await chat(key, { model: 'forbidden' }), 403, '... for its models alone');
  await press(page, 'I have copied it');
  assert.ok(!(await page.content()).includes(key), 'it is not shown again');
  const row = page.locator('tbody tr').filter({ hasText: 'made-in-the-browser' });
  await row.getByText('models: demo-model, other').waitFor();
  const used = row.locator('td[data-label=Requests] a');
  await used.waitFor({ timeout: 10000 });
  assert.equal(await used.getAttribute('href'), '#/requests?client=made-in-the-browser');
  await row.getByRole('button', { name: 'Disable made-in-the-browser' }).click();
  await row.getByText('disabled').waitFor();
  assert.equal(await chat(key), 401);
  await row.getByRole('button', { name: 'Edit made-in-the-browser' }).click();
  await page.getByRole('dialog').last().getByLabel('RPM').fill('9');
  await page.getByRole('dialog').last().getByLabel('At the same time').fill('4');
  await page.getByRole('dialog').last().getByLabel('Also endpoints that are not known (unlisted)').check();
  await press(page.getByRole('dialog').last(), 'Save');
  await page.getByText('made-in-the-browser is saved.').waitFor();
  const client = await api('GET', 'clients/made-in-the-browser');
  assert.deepEqual([client.rpm, client.concurrency, client.enabled, client.models, client.endpoints], [9, 4, false, ['demo-model', 'other'], ['unlisted']]);
  await row.getByRole('button', { name: 'Edit made-in-the-browser' }).click();
  await page.getByRole('dialog').last().getByLabel('Also endpoints that are not known (unlisted)').uncheck();
  await press(page.getByRole('dialog').last(), 'Save');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  assert.deepEqual((await api('GET', 'clients/made-in-the-browser')).endpoints, []);
  await row.getByRole('button', { name: 'Enable made-in-the-browser' }).click();
  await row.getByText('active').waitFor();
  await row.getByRole('button', { name: 'Rotate key of made-in-the-browser' }).click();
  await page.getByLabel('The present key').selectOption('is valid for 1 hour more');
  await press(page.getByRole('dialog').last(), 'Rotate key');
  const next = await page.locator('[data-client-key]').textContent();
  assert.deepEqual([await chat(key), await chat(next)], [200, 200], 'both keys work');
  await press(page, 'I have copied it');
  await row.getByText('old key until').waitFor();
  await row.getByRole('button', { name: 'Delete made-in-the-browser' }).click();
  await page.getByRole('dialog').getByText('made-in-the-browser').waitFor();
  await press(page.getByRole('dialog'), 'Delete');
  await row.waitFor({ state: 'detached' });
  await noProblems(page);
});

test('what no server reaches is told and moved', async () => {
  const page = await openPage(browser);
  await signIn(page, { view: 'clients' });
  const row = (kind) => page.locator(`[data-unreached=${kind}]`);
  await row('clients').getByText('1 client of old.example').waitFor();
  await screenshot(page, 'unreached');
  assert.deepEqual(await violations(page), []);
  await press(row('clients'), 'Move to this server');
  await press(page.getByRole('dialog'), 'Move to…');
  await row('clients').waitFor({ state: 'detached' });
  await page.locator('tbody tr').filter({ hasText: 'left-behind' }).waitFor();
  await api('DELETE', 'clients/left-behind');
  await row('keys').getByText('1 key of one in the pool old of old.example').waitFor();
  await press(row('keys'), 'Move to a pool…');
  await page.getByRole('dialog').getByLabel('Move to').selectOption({ label: 'orphans (stays)' });
  await press(page.getByRole('dialog'), 'Move to…');
  await row('keys').waitFor({ state: 'detached' });
  assert.equal((await api('GET', 'pools/orphans/keys?state=active')).total, 1);
  await noProblems(page);
});

test('a location of another virtual host is shown by its own address, the only one that works there', async () => {
  const page = await openPage(browser);
  const places = [{ path: '/if', url: 'http://x.test/if', here: true, conditional: true }, { path: '/v1', url: 'https://gw.test:8443/v1', here: false, conditional: false }];
  await page.route('**/api/pools', async (route) => {
    const answer = await route.fetch();
    const { pools } = await answer.json();
    await route.fulfill({ response: answer, json: { pools: pools.map((pool) => ({ ...pool, locations: pool.name === 'main' ? places : [] })) } });
  });
  await page.route('**/api/events', (route) => route.fulfill({ contentType: 'text/event-stream', body: '' }));
  await signIn(page, { view: 'settings' });
  const card = (name) => page.locator('section').filter({ has: page.getByRole('heading', { name: `Pool ${name}`, exact: true }) });
  assert.deepEqual(await card('main').locator('ul.places li').allTextContents(), ['https://gw.test:8443/v1', `${given.base}/if some requests only`]);
  await card('import').getByText('No location uses this pool').waitFor();
  for (const [name, pool] of [['reached', 'main'], ['not-reached', 'import']]) {
    await openView(page, 'clients');
    await press(page, 'Create client');
    const dialog = page.getByRole('dialog').last();
    await dialog.getByLabel('Name').fill(name);
    await dialog.getByLabel(pool, { exact: true }).check();
    await press(dialog, 'Create client');
    await page.locator('[data-client-key]').waitFor();
    assert.equal(await page.locator('[data-snippet]').count(), pool === 'main' ? 1 : 0, pool);
    await page.getByText(pool === 'main' ? "curl 'https://gw.test:8443/v1/chat/completions'" : 'no location uses a pool that this client may use').waitFor();
    await press(page, 'I have copied it');
    await api('DELETE', `clients/${name}`);
  }
  await noProblems(page);
});

test('many clients are searched', async () => {
  const names = Array.from({ length: 10 }, (_, i) => `one-of-many-${i}`);
  await Promise.all(names.map((name) => api('POST', 'clients', { name })));
  const page = await openPage(browser);
  await signIn(page, { view: 'clients' });
  await page.getByLabel('Search by name').fill('MANY-7');
  await page.getByText('1 client', { exact: true }).waitFor();
  assert.equal(await page.locator('tbody tr').count(), 1);
  await page.getByLabel('Search by name').fill('none of them');
  await page.getByText('No client matches.').waitFor();
  await Promise.all(names.map((name) => api('DELETE', `clients/${name}`)));
  await noProblems(page);
});

test('a client may have a name of any script, and what the server says of one is in the language of the page', async () => {
  const page = await openPage(browser, { language: 'zh-CN', storage: { pool: 'main' } });
  const accepted = [];
  page.on('request', (request) => /\/api\//.test(request.url()) && accepted.push(request.headers()['accept-language']));
  await signIn(page, { view: 'clients' });
  await press(page, '新建客户端');
  const dialog = page.getByRole('dialog').last();
  await provoking(page, /^400 .*\/clients$/, async () => {
    await dialog.getByLabel('名称').fill('张三\u200b');
    await press(dialog, '新建客户端');
    await dialog.getByText(/^不能包含 U\+200B：/).waitFor();
  });
  await dialog.getByLabel('名称').fill('Jose\u0301 张三'); // e and an accent of its own
  await press(dialog, '新建客户端');
  await page.getByText('José 张三 的密钥'.normalize()).waitFor();
  const key = await page.locator('[data-client-key]').textContent();
  assert.equal(await chat(key), 200, 'the key works');
  await press(page, '我已复制');
  const row = page.locator('tbody tr').filter({ hasText: '张三' });
  const used = row.locator('td[data-label=请求] a');
  await used.waitFor({ timeout: 10000 });
  await used.click();
  await page.locator('tbody td[data-label=客户端]').getByText('José 张三'.normalize()).first().waitFor();
  await openView(page, 'clients');
  await row.getByRole('button', { name: /^编辑 / }).click();
  await page.getByRole('dialog').last().getByLabel('RPM').fill('9');
  await press(page.getByRole('dialog').last(), '保存');
  await page.getByText('José 张三 已保存。'.normalize()).waitFor();
  assert.equal((await api('GET', `clients/${encodeURIComponent('José 张三'.normalize('NFD'))}`)).rpm, 9);
  const many = Array.from({ length: 10 }, (_, i) => `李四-${i}`);
  await Promise.all(many.map((name) => api('POST', 'clients', { name })));
  await page.reload();
  await page.getByLabel('按名称搜索').fill('JOSE\u0301');
  await page.getByText('1 个客户端', { exact: true }).waitFor();
  await Promise.all([...many, 'José 张三'].map((name) => api('DELETE', `clients/${encodeURIComponent(name)}`)));
  assert.deepEqual([...new Set(accepted)].filter((language) => !/^zh\b/.test(language)), [], 'the page asks for its language');
  await noProblems(page);
});

test('the language that is chosen on the page goes before the browser\'s', async () => {
  const page = await openPage(browser, { language: 'en-US', storage: { language: 'zh' } });
  await signIn(page, { view: 'clients' });
  await press(page, '新建客户端');
  const dialog = page.getByRole('dialog').last();
  await provoking(page, /^400 .*\/clients$/, async () => {
    await dialog.getByLabel('名称').fill('a/b');
    await press(dialog, '新建客户端');
    await dialog.getByText(/^不能包含 U\+002F：/).waitFor();
  });
  await noProblems(page);
});

/** What the tile of requests per day shows. */
const shown = (page) => page.locator('[data-tile=rpd]').textContent();

async function untilChanged(page, before) {
  const start = Date.now();
  await page.waitForFunction((text) => document.querySelector('[data-tile=rpd]').textContent !== text, before, { timeout: 10000, polling: 50 });
  return Date.now() - start;
}

test('a request shows within 2 s, by the stream of events', async () => {
  const page = await openPage(browser, { storage: { pool: 'main' } });
  await signIn(page);
  await page.locator('[data-live=live]').waitFor();
  const before = await shown(page);
  assert.equal(await chat(null, { path: '/open/v1' }), 200);
  const took = await untilChanged(page, before);
  assert.ok(took <= LIVE_MS, `${took} ms`);
  await openView(page, 'requests');
  const rows = await page.locator('tbody tr:visible').count();
  assert.equal(await chat(null, { path: '/open/v1' }), 200);
  await page.waitForFunction((count) => [...document.querySelectorAll('tbody tr:not([hidden])')].length > count, rows, { timeout: 10000 });
  await noProblems(page);
});

test('without the stream the page asks, and says so; without a server it says how old its numbers are', async () => {
  const page = await openPage(browser, { storage: { pool: 'main' } });
  await page.route('**/api/events', (route) => route.abort());
  await provoking(page, /^no answer .*\/api\/events$/, async () => {
    await signIn(page);
    await page.locator('[data-live=polling]').waitFor();
    const before = await shown(page);
    assert.equal(await chat(null, { path: '/open/v1' }), 200);
    await untilChanged(page, before);
  });
  await provoking(page, /^no answer .*\/api\//, async () => {
    await page.route('**/api/**', (route) => route.abort());
    await page.locator('[data-live=stale]').getByText(/^Stale since \d\d:\d\d/).waitFor({ timeout: 20000 });
    await page.locator('.is-old').waitFor();
    await openView(page, 'clients');
    await page.getByRole('alert').getByText('The server does not answer.').waitFor();
    await page.unroute('**/api/**');
    await press(page, 'Try again');
    await page.getByRole('button', { name: 'Create client' }).waitFor();
    await page.locator('[data-live=polling], [data-live=live]').waitFor({ timeout: 20000 });
  });
  await noProblems(page);
});

test('the log level is set for all processes', async () => {
  const page = await openPage(browser);
  await signIn(page, { view: 'settings' });
  await page.locator('td[data-label=Connections]').getByText('connect timeout: 10 s, kept when idle: 1 min, longest response field: 64 KiB').first().waitFor();
  await page.locator('.facts div').filter({ hasText: 'Requests without an answer' }).locator('dd').getByText('safe').first().waitFor();
  await page.getByLabel('Level', { exact: true }).selectOption('debug');
  await press(page, 'Set');
  await page.getByText('Log level: debug.').waitFor();
  assert.equal((await api('GET', 'log-level')).level, 'debug');
  await page.getByText('Keys and statistics are saved.').waitFor();
  assert.ok((await page.textContent('main')).includes(`${given.base}`.replace(/:\d+$/, '')), 'upstreams are listed');
  await noProblems(page);
});
