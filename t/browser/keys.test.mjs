// SPDX-License-Identifier: Apache-2.0
// Keys: import, search, sorting, what is done with one and with many, and export.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { api, chat, launch, noProblems, openPage, openView, press, provoking, screenshot, settled, signIn } from './lib.mjs';

const MANY = 10000;

let browser;
before(async () => {
  browser = await launch();
});
after(() => browser.close());

const dialog = (page) => page.getByRole('dialog').last();

/** The number of keys that match, as the page tells it. */
const total = (page, count) => page.locator('[data-total]').getByText(`${count.toLocaleString('en-US')} key`).waitFor();

const counts = async (page) => Object.fromEntries(await dialog(page).locator('[data-count]').evaluateAll(
  (cells) => cells.map((cell) => [cell.dataset.count, Number(cell.textContent.replaceAll(',', ''))])));

/** Bodies of the requests that go to a path. */
function sentTo(page, pattern) {
  const sent = [];
  page.on('request', (request) => request.method() === 'POST' && pattern.test(request.url()) && sent.push(request.postData()));
  return sent;
}

test('what is typed is read in the page, and nothing of it travels', async () => {
  const page = await openPage(browser, { storage: { pool: 'import' } });
  await signIn(page, { view: 'keys' });
  const sent = sentTo(page, /./);
  await press(page, 'Import keys');
  const ask = dialog(page).getByRole('button', { name: 'See which keys are new' });
  assert.ok(await ask.isDisabled());
  const area = dialog(page).getByLabel('Keys', { exact: true });
  await area.pressSequentially('# mine\nsk-ok-typed-aaaaaaaa, sk-ok-typed-aaaaaaaa\nb\u00e9d\n');
  await dialog(page).locator('[data-count=ready]').waitFor();
  assert.deepEqual(await counts(page), { ready: 1, repeated: 1, bad: 1 });
  await dialog(page).getByText('Line 3').waitFor();
  await dialog(page).getByText('Nothing has left this page yet. The next step sends this key').waitFor();
  await area.fill('[{"key":"sk-ok-typed-aaaaaaaa","weight":1001},\n"sk-ok-typed-aaaaaaaa"]');
  await dialog(page).getByText('Element 1').waitFor();
  assert.deepEqual(await counts(page), { ready: 1, repeated: 0, bad: 1 });
  await area.fill('["sk-ok-typed-aaaaaaaa",\noops');
  await dialog(page).getByText('malformed JSON').waitFor();
  await dialog(page).getByText('Line 2').waitFor();
  assert.ok(await ask.isDisabled());
  await area.fill('# private\nsk-ok-typed-aaaaaaaa,,not-one key,sk-ok-typed-aaaaaaaa\nsk-ok-typed-bbbbbbbb');
  assert.deepEqual(sent, []);
  await page.keyboard.press('Escape');
  await noProblems(page);
});

test('only valid keys travel, each once; the server says which are new', async () => {
  const page = await openPage(browser, { storage: { pool: 'import' } });
  await signIn(page, { view: 'keys' });
  const sent = sentTo(page, /pools\/import\/keys\?/);
  await press(page, 'Import keys');
  await dialog(page).getByLabel('Keys', { exact: true }).fill('# private\nsk-ok-travels-1aaaaaaa,,n\u00f6t,sk-ok-travels-1aaaaaaa\nsk-ok-travels-2bbbbbbb');
  await press(dialog(page), 'See which keys are new'); // at once, before what was typed has been looked at
  await dialog(page).getByText('Nothing has been added yet').waitFor();
  assert.deepEqual(await counts(page), { new: 2, known: 0, changed: 0, repeated: 1, bad: 1 });
  assert.deepEqual(sent, ['sk-ok-travels-1aaaaaaa\nsk-ok-travels-2bbbbbbb']);
  await press(dialog(page), 'Back');
  await dialog(page).getByLabel('Keys', { exact: true }).fill('sk-ok-travels-2bbbbbbb');
  await press(dialog(page), 'See which keys are new');
  await press(dialog(page), 'Import 1 key');
  await dialog(page).getByText('The import is complete.').waitFor();
  await press(dialog(page).locator('form'), 'Close');
  await press(page, 'Import keys');
  const objects = [{ key: 'sk-ok-travels-1aaaaaaa', note: 'private' }, { key: 'sk-ok-travels-2bbbbbbb', label: 'travelled' }];
  await dialog(page).getByLabel('Keys', { exact: true }).fill(JSON.stringify(objects));
  await press(dialog(page), 'See which keys are new');
  await dialog(page).getByText('Nothing has been added yet').waitFor();
  assert.deepEqual(await counts(page), { new: 1, known: 0, changed: 1, repeated: 0, bad: 0 });
  assert.ok(!sent.at(-1).includes('private'), 'nor do members that mean nothing');
  await page.keyboard.press('Escape');
  await api('POST', 'pools/import/keys/actions', { action: 'delete', filter: {} });
  await noProblems(page);
});

test('what is pasted is listed masked, what is in doubt waits for a tick, and new keys are checked', async () => {
  const page = await openPage(browser, { storage: { pool: 'import' } });
  await signIn(page, { view: 'keys' });
  await press(page, 'Import keys');
  await dialog(page).getByLabel('Keys', { exact: true }).fill([
    'export OPENAI_API_KEY="sk-ok-pasted-00000001"; Authorization: Bearer sk-401-pasted-0000002',
    '\u201csk-ok-pasted-00000003\u201d\uff0csk-ok-pasted-00000004 # mine', 'sk-o***********0005 sk-ok-pasted-without-it'].join('\n'));
  await press(dialog(page), 'See which keys are new');
  await dialog(page).getByText('Nothing has been added yet').waitFor();
  assert.deepEqual(await counts(page), { new: 4, known: 0, changed: 0, repeated: 0, bad: 0, doubtful: 2 });
  assert.deepEqual((await dialog(page).locator('[data-list=keys] li').allTextContents()).map((text) => text.split(/\s+/).slice(0, 2).join(' ')),
    ['sk-o…0001 new', 'sk-4…0002 new', 'sk-o…0003 new', 'sk-o…0004 new']);
  assert.deepEqual((await dialog(page).locator('[data-list=doubtful] li').allTextContents()).map((text) => text.trim().split(/\s+/).join(' ')),
    ['sk-o…0005 Line 3 · masked: it contains * or ...', 'sk-o…t-it Line 3 · has no digit']);
  await dialog(page).getByLabel('sk-o…t-it').check();
  await dialog(page).getByLabel('Check the new keys').check();
  const states = [];
  await page.route(/\/check$/, async (route) => {
    states.push(await dialog(page).getByRole('status').textContent());
    await route.continue();
  });
  await press(dialog(page), 'Import 5 keys');
  await dialog(page).getByText('Checked: 5 of 5 new keys.').waitFor();
  assert.deepEqual(await counts(page), { added: 5, known: 0, changed: 0, repeated: 0, bad: 0, check_usable: 4, check_spent: 0, check_refused: 1, check_not_told: 0 });
  assert.ok(states.some((text) => /^[01] of 5 new keys checked/.test(text)), 'with progress');
  await press(dialog(page).locator('form'), 'Close');
  assert.deepEqual((await api('GET', 'pools/import/keys?q=0005')).total, 0);
  assert.equal((await api('GET', 'pools/import')).keys.invalid, 1);
  await press(page, 'Import keys');
  await dialog(page).getByLabel('Keys', { exact: true }).fill('Label,API Key\n"one, two",sk-ok-pasted-00000001\n,sk-o...0002');
  await press(dialog(page), 'See which keys are new');
  await dialog(page).getByText('one, two').waitFor();
  await dialog(page).getByLabel('Add all of them').check();
  await dialog(page).getByLabel('Add all of them').uncheck();
  await press(dialog(page), 'Import 0 keys');
  await dialog(page).getByText('The import is complete.').waitFor();
  assert.deepEqual(await counts(page), { added: 0, known: 0, changed: 1, repeated: 0, bad: 0 });
  await page.keyboard.press('Escape');
  await api('POST', 'pools/import/keys/actions', { action: 'delete', filter: {} });
  await noProblems(page);
});

test('10,000 keys are previewed, imported and counted; invalid lines are listed', async () => {
  const page = await openPage(browser, { storage: { pool: 'import' } });
  await signIn(page, { view: 'keys' });
  const lines = Array.from({ length: MANY }, (_, i) => `sk-ok-imported-key-${String(i).padStart(6, '0')}`);
  const text = [...lines.slice(0, 7000), 'bad\u0001key', ...lines.slice(7000), lines[0], '# a comment', ''].join('\n');
  const sent = sentTo(page, /./);
  await press(page, 'Import keys');
  await page.setInputFiles('dialog input[type=file]', { name: 'keys.txt', mimeType: 'text/plain', buffer: Buffer.from(text) });
  await dialog(page).getByText('The next step sends these 10,000 keys').waitFor();
  assert.deepEqual(await counts(page), { ready: MANY, repeated: 1, bad: 1 });
  await dialog(page).getByText('Line 7,001').waitFor();
  assert.deepEqual(sent, [], 'nothing has travelled');
  await press(dialog(page), 'See which keys are new');
  await dialog(page).getByText('Nothing has been added yet').waitFor();
  assert.deepEqual(await counts(page), { new: MANY, known: 0, changed: 0, repeated: 1, bad: 1 });
  await dialog(page).getByText('Line 7,001').waitFor();
  assert.equal((await api('GET', 'pools/import/keys?limit=1')).total, 0, 'a preview changes nothing');
  await press(dialog(page), 'Import 10,000 keys');
  await dialog(page).getByText('The import is complete.').waitFor({ timeout: 60000 });
  assert.deepEqual(await counts(page), { added: MANY, known: 0, changed: 0, repeated: 1, bad: 1 });
  await dialog(page).getByText('Line 7,001').waitFor();
  await dialog(page).locator('form').getByRole('button', { name: 'Close' }).click();
  await total(page, MANY);
  assert.equal((await api('GET', 'pools/import/keys?limit=1')).total, MANY);
  await noProblems(page);
});

test('a file of 100,000 keys is read at once, and not put into the field', async () => {
  const page = await openPage(browser, { storage: { pool: 'import' } });
  await signIn(page, { view: 'keys' });
  await press(page, 'Import keys');
  const keys = Array.from({ length: 100000 }, (_, i) => ({ key: `sk-ok-file-${i}-aaaaaaaa` }));
  await page.setInputFiles('dialog input[type=file]', { name: 'keys.json', mimeType: 'application/json', buffer: Buffer.from(JSON.stringify([...keys, keys[0], 7])) });
  await dialog(page).getByText('The next step sends these 100,000 keys').waitFor();
  assert.deepEqual(await counts(page), { ready: 100000, repeated: 1, bad: 1 });
  await dialog(page).getByText('Element 100,002').waitFor();
  const area = dialog(page).getByLabel('Keys', { exact: true });
  assert.match(await area.getAttribute('placeholder'), /^keys\.json, 3.*MiB/);
  assert.equal(await area.inputValue(), '');
  await area.fill('sk-ok-instead-aaaaaaaa');
  await dialog(page).getByText('The next step sends this key').waitFor();
  await noProblems(page);
});

test('pages, search and sorting are the server’s', async () => {
  const page = await openPage(browser, { storage: { pool: 'import' } });
  await signIn(page, { view: 'keys' });
  await page.getByText(`1–50 of ${MANY.toLocaleString('en-US')}`).waitFor();
  await press(page, 'Last');
  await page.getByText('9,951–10,000 of 10,000').waitFor();
  await page.fill('#key-search', '0009');
  await page.locator('tbody tr').nth(0).waitFor();
  await page.waitForFunction(() => /q=0009/.test(location.hash));
  await settled(page);
  await page.fill('#key-search', '');
  await page.waitForFunction(() => !/q=/.test(location.hash));
  await page.getByRole('columnheader', { name: 'Last used' }).getByRole('button').click();
  await page.locator('th[aria-sort=ascending]').getByText('Last used').waitFor();
  await page.getByRole('columnheader', { name: 'Last used' }).getByRole('button').click();
  await page.locator('th[aria-sort=descending]').getByText('Last used').waitFor();
  await noProblems(page);
});

test('a whole key that is searched for is found, and is in no address', async () => {
  const page = await openPage(browser, { storage: { pool: 'import' } });
  const addresses = [];
  page.on('request', (request) => addresses.push(request.url()));
  page.on('framenavigated', (frame) => addresses.push(frame.url()));
  await signIn(page, { view: 'keys' });
  await page.locator('#key-search').pressSequentially('sk-ok-imported-key-004711', { delay: 60 }); // slower than a pause, now and then
  await total(page, 1);
  const [key] = (await api('POST', 'pools/import/keys/search', { q: 'sk-ok-imported-key-004711' })).keys;
  await page.locator(`tr[data-id="${key.id}"]`).waitFor();
  await press(page, 'Export CSV');
  assert.ok(!/imported-key/.test(page.url() + addresses.join(' ')), 'nor is most of it');
  await page.getByLabel('Select all keys of this page').check();
  await press(page.getByRole('region', { name: 'Selected keys' }), 'Disable');
  await press(dialog(page), 'Disable');
  await page.getByText('1 key disabled.').waitFor();
  await api('PATCH', `pools/import/keys/${key.id}`, { enabled: true });
  await noProblems(page);
});

test('all keys that match a filter are disabled at once, by name of what is hit', async () => {
  const page = await openPage(browser, { storage: { pool: 'import' } });
  await signIn(page, { view: 'keys' });
  await page.getByRole('button', { name: /^active/ }).click();
  await page.waitForFunction(() => /state=active/.test(location.hash));
  await settled(page);
  await page.getByLabel('Select all keys of this page').check();
  await page.getByText('50 selected').waitFor();
  await press(page, 'Select all 10,000 that match');
  await press(page.getByRole('region', { name: 'Selected keys' }), 'Disable');
  await dialog(page).getByText('Disable 10,000 keys?').waitFor();
  await dialog(page).getByText('All keys in the pool import that match active.').waitFor();
  await dialog(page).getByText('No request uses them until you enable them again.').waitFor();
  await press(dialog(page), 'Disable');
  await page.getByText('10,000 keys disabled.').waitFor({ timeout: 30000 });
  await page.getByText('No key matches.').waitFor();
  assert.equal((await api('GET', 'pools/import')).keys.disabled, MANY);
  await noProblems(page);
});

test('an orphaned key says whose it was, and is moved to another upstream', async () => {
  const page = await openPage(browser, { storage: { pool: 'orphans' } });
  await signIn(page, { view: 'keys' });
  const row = page.locator('tbody tr').filter({ hasText: 'orphan' }).first();
  await row.getByText('the upstream leaves is not configured').waitFor();
  await row.getByRole('checkbox').check();
  await press(page.getByRole('region', { name: 'Selected keys' }), 'Move to…');
  await page.getByRole('dialog').getByLabel('Move to').selectOption('stays');
  await press(page.getByRole('dialog'), 'Move to…');
  await page.getByText('1 key moved to stays.').waitFor();
  assert.equal((await api('GET', 'pools/orphans')).keys.orphaned, 0);
  await noProblems(page);
});

test('a key is checked, edited, switched off, and deleted only when that was meant', async () => {
  const page = await openPage(browser, { storage: { pool: 'main' } });
  await signIn(page, { view: 'keys?q=checked' });
  const row = page.locator('tbody tr').first();
  await row.getByRole('button', { name: /^Check/ }).click();
  await page.getByText(/is accepted\..*State of the key: active\./).waitFor();
  await row.getByRole('checkbox').check();
  await press(page.getByRole('region', { name: 'Selected keys' }), 'Check now');
  await press(dialog(page), 'Check now');
  await dialog(page).getByText('Checked: 1 of 1 keys.').waitFor();
  assert.deepEqual(await counts(page), { check_usable: 1, check_spent: 0, check_refused: 0, check_not_told: 0 });
  await press(dialog(page).locator('form'), 'Close');
  await row.getByRole('button', { name: /^Edit/ }).click();
  await dialog(page).getByLabel('Label').fill('checked by hand');
  await dialog(page).getByLabel('Account').fill('team-a');
  await dialog(page).getByLabel('Weight').fill('7');
  await dialog(page).getByLabel('Requests per minute').fill('11');
  await press(dialog(page), 'Save');
  await page.getByRole('button', { name: 'checked by hand', exact: true }).waitFor();
  const [key] = (await api('GET', 'pools/main/keys?q=checked')).keys;
  assert.deepEqual([key.label, key.account, key.weight, key.limits.rpm], ['checked by hand', 'team-a', 7, 11]);
  await page.locator('[role=meter][aria-label="RPM"][aria-valuemax="11"]').waitFor();
  await row.getByRole('button', { name: /^Disable/ }).click();
  await page.getByText('checked by hand is disabled.').waitFor();
  await row.getByRole('button', { name: /^Delete/ }).click();
  await dialog(page).getByText(/^checked by hand .* with the id [0-9a-f]{16} in the pool main\.$/).waitFor();
  await page.keyboard.press('Escape');
  assert.equal((await api('GET', 'pools/main/keys?q=checked')).total, 1, 'Escape deletes nothing');
  await row.getByRole('button', { name: /^Delete/ }).click();
  await press(dialog(page), 'Delete');
  await page.getByText('No key matches.').waitFor();
  assert.equal((await api('GET', 'pools/main/keys?q=checked')).total, 0);
  await noProblems(page);
});

test('a refused key says why, and when it is asked about again', async () => {
  const page = await openPage(browser, { storage: { pool: 'main' } });
  await signIn(page, { view: 'keys?state=invalid' });
  await page.getByText(/refused with 401, next probe \d\d:\d\d/).first().waitFor();
  await page.getByText('401 R06: credential rejected').first().waitFor();
  await noProblems(page);
});

/** Keys of the list, and each by itself, with some members changed. */
async function withStates(page, changes) {
  const ids = [];
  await page.route('**/api/pools/main/keys?*', async (route) => {
    const answer = await route.fetch();
    const list = await answer.json();
    changes.forEach((change, i) => Object.assign(list.keys[i], change));
    ids.splice(0, ids.length, ...list.keys.map(({ id }) => id));
    await route.fulfill({ response: answer, json: list });
  });
  await page.route(/api\/pools\/main\/keys\/[0-9a-f]{16}$/, async (route) => {
    const answer = await route.fetch();
    const key = await answer.json();
    await route.fulfill({ response: answer, json: { ...key, ...changes[ids.indexOf(key.id)] } });
  });
}

test('every state says why, and until when', async () => {
  const page = await openPage(browser, { storage: { pool: 'main' } });
  const error = (status, rule) => ({ at: '2026-01-02T03:04:05Z', status, rule, message: '' });
  const probe = '2099-05-06T14:02:00Z';
  await withStates(page, [
    { state: 'cooling', cooling_until: new Date(Date.now() + 125000).toISOString(), reason_code: 'R07', last_error: error(429, 'R07') },
    { state: 'quota', balance: { amount: 0, currency: 'CNY', amounts: [{ amount: 0, currency: 'CNY' }], checked_at: '2026-01-02T03:04:05Z' }, next_probe_at: probe, last_error: error(402, 'R05') },
    { state: 'tripped', consecutive_errors: 5, last_error: error(500, 'R12'), next_probe_at: probe, label: 'a label as long as labels are, '.repeat(4).slice(0, 120) },
    { state: 'half_open', last_error: null },
    { rpm: 580, tpm: 999000, tpd: 987654321, total_tokens: 0, estimated_tokens: 4321, balance: { amount: 12345.678, currency: 'USD', amounts: [{ amount: 12345.678, currency: 'USD' }, { amount: 1, currency: 'CNY' }], checked_at: '2026-01-02T03:04:05Z' } }]);
  await signIn(page, { view: 'keys' });
  const row = (i) => page.locator('tbody tr').nth(i).locator('td[data-label=State]').textContent();
  assert.match(await row(0), /cooling.*(2 min|1 min 5\d s).*, rate limited/s);
  assert.match(await row(1), /quota.*balance 0\.00 CNY, next probe 14:02/s);
  assert.match(await row(2), /tripped.*5 × 500, next probe 14:02/s);
  assert.match(await row(3), /on trial.*waiting for one request to prove it/s);
  assert.equal(await page.locator('[title="987,654,321"]').textContent(), '987.7M');
  assert.equal(await page.locator('tbody tr').nth(4).locator('td[data-label=Balance]').textContent(), '12,345.68 USD + 1.00 CNY');
  await screenshot(page, 'keys-states');
  const first = await row(0);
  await page.waitForFunction((text) => document.querySelector('td[data-label=State]').textContent !== text, first, { timeout: 5000 });
  await page.locator('button.key').first().click();
  await dialog(page).getByLabel('Label').fill('typed while it counts');
  const fact = dialog(page).locator('.facts dd').first();
  const left = await fact.textContent();
  assert.match(left, /cooling.*min.*, rate limited/s);
  await page.waitForFunction((text) => document.querySelector('dialog .facts dd').textContent !== text, left, { timeout: 5000 });
  await page.waitForTimeout(6000); // the key is asked for anew
  assert.equal(await dialog(page).getByLabel('Label').inputValue(), 'typed while it counts');
  await press(dialog(page), 'Copy the id');
  await page.keyboard.press('Escape');
  await page.waitForFunction(() => !document.querySelector('dialog'));
  await page.locator('button.key').nth(4).click();
  await dialog(page).locator('dd').getByText('and about 4,321 estimated').waitFor();
  await noProblems(page);
});

test('tokens that were estimated stand beside those that were reported', async () => {
  const page = await openPage(browser, { storage: { pool: 'main' } });
  await page.route('**/api/pools/main/stats?*', async (route) => {
    const answer = await route.fetch();
    const stats = await answer.json();
    assert.equal(stats.models[0].estimated_tokens, 0, 'all of it was reported');
    stats.models[0].estimated_tokens = 4321;
    await route.fulfill({ response: answer, json: stats });
  });
  await signIn(page);
  await page.getByRole('region', { name: 'Tokens by model' }).getByText('and about 4,321 estimated').waitFor();
  await noProblems(page);
});

test('where nothing matches, all filters are taken away at once', async () => {
  const page = await openPage(browser, { storage: { pool: 'main' } });
  await signIn(page, { view: 'keys?q=nothing-like-this&state=disabled&upstream=first' });
  await page.getByText('No key matches.').waitFor();
  await press(page, 'Show all keys');
  await page.locator('tbody tr').first().waitFor();
  assert.equal(await page.inputValue('#key-search'), '');
  assert.ok(!/q=|state=|upstream=/.test(new URL(page.url()).hash));
  await noProblems(page);
});

test('keys are dropped as JSON, and an import that fails goes on where it was', async () => {
  const page = await openPage(browser, { storage: { pool: 'import' } });
  await signIn(page, { view: 'keys' });
  await press(page, 'Import keys');
  await dialog(page).waitFor();
  await page.evaluate(() => {
    const data = new DataTransfer();
    const keys = Array.from({ length: 6000 }, (_, i) => ({ key: `sk-ok-dropped-${i}-aaaaaaaa`, label: `dropped ${i}` }));
    data.items.add(new File([JSON.stringify(keys)], 'keys.json', { type: 'application/json' }));
    document.querySelector('dialog').dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true }));
  });
  await dialog(page).getByText('The next step sends these 6,000 keys').waitFor();
  await press(dialog(page), 'See which keys are new');
  await dialog(page).getByText('Nothing has been added yet').waitFor();
  assert.equal((await counts(page)).new, 6000);
  let sent = 0;
  await page.route(/keys\?upstream=[^&]*&doubtful=add$/, (route) => (++sent === 2 ? route.fulfill({ status: 500, json: { error: { code: 'failed', message: '' } } }) : route.continue()));
  await provoking(page, /^500 .*\/api\/pools\/import\/keys\?/, async () => {
    await press(dialog(page), 'Import 6,000 keys');
    await dialog(page).getByText('The import was stopped.').waitFor();
  });
  assert.equal((await counts(page)).added, 5000);
  await press(dialog(page), 'Continue');
  await dialog(page).getByText('The import is complete.').waitFor();
  assert.deepEqual(await counts(page), { added: 6000, known: 0, changed: 0, repeated: 0, bad: 0 });
  await page.keyboard.press('Escape');
  await api('POST', 'pools/import/keys/actions', { action: 'delete', filter: { q: 'dropped' } });
  await noProblems(page);
});

test('chosen keys are copied, masked', async () => {
  const page = await openPage(browser, { storage: { pool: 'main' } });
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
  await signIn(page, { view: 'keys' });
  await page.locator('[data-on-change=select]').nth(1).check();
  await press(page, 'Copy masked');
  await page.getByText('Copied: 1 masked key').waitFor();
  assert.match(await page.evaluate(() => navigator.clipboard.readText()), /^sk-.….{4}\t[0-9a-f]{16}(\t.*)?$/);
  await noProblems(page);
});

test('masked lists are exported, without formulas', async () => {
  const page = await openPage(browser, { storage: { pool: 'import' } });
  const [key] = (await api('GET', 'pools/import/keys?limit=1&sort=id')).keys;
  await api('PATCH', `pools/import/keys/${key.id}`, { label: '=1+1,"x"' });
  await signIn(page, { view: 'keys' });
  const [file] = await Promise.all([page.waitForEvent('download'), press(page, 'Export CSV')]);
  const rows = readFileSync(await file.path(), 'utf8').trimEnd().split('\r\n');
  assert.equal(rows.length, MANY + 1);
  assert.match(rows[1], new RegExp(`^${key.id},sk-o…0*\\d+,"'=1\\+1,""x""",`));
  assert.ok(!rows.some((row) => row.includes('sk-ok-imported')), 'no key is in it');
  await noProblems(page);
});

test('all of it goes by keyboard', async () => {
  const page = await openPage(browser, { storage: { pool: 'main' } });
  await signIn(page);
  const focused = () => page.evaluate(() => document.activeElement.textContent.trim() || document.activeElement.getAttribute('aria-label'));
  const tabTo = async (pattern) => {
    for (let i = 0; i < 60; i++) {
      await page.keyboard.press('Tab');
      if (pattern.test(await focused() ?? '')) {
        return;
      }
    }
    assert.fail(`nothing like ${pattern} gets the focus`);
  };
  await page.evaluate(() => document.activeElement.blur());
  await tabTo(/^Skip to content/);
  await tabTo(/^Keys$/);
  await page.keyboard.press('Enter');
  await settled(page);
  assert.equal(await focused(), 'Keys', 'the new view’s title has the focus');
  await tabTo(/^Import keys/);
  await page.keyboard.press('Enter');
  await dialog(page).waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.tagName), 'TEXTAREA');
  await page.keyboard.press('Escape');
  assert.match(await focused(), /^Import keys/, 'the focus comes back');
  await tabTo(/^Edit /);
  await page.keyboard.press('Enter');
  await dialog(page).getByLabel('Label').waitFor();
  await page.keyboard.press('Escape');
  await page.waitForFunction(() => !document.querySelector('dialog'));
  await noProblems(page);
});

test('requests are filtered by what is further back than the page shows, and say why they failed', async () => {
  await chat(null, { path: '/open/v1', model: 'asked-before' });
  await Promise.all(Array.from({ length: 110 }, () => chat(null, { path: '/open/v1' })));
  const page = await openPage(browser, { storage: { pool: 'main' } });
  await signIn(page, { view: 'requests' });
  await page.getByLabel('Model').selectOption('asked-before');
  await page.locator('td').getByText('asked-before').waitFor();
  assert.equal(await page.locator('tbody tr:visible').count(), 1);
  await page.route('**/api/requests?*', async (route) => {
    const answer = await route.fetch();
    const { requests } = await answer.json();
    Object.assign(requests[0], { status: 502, outcome: 'failed', attempts: 1, tried: [{ key: null, upstream: 'first', rule: 'R03' }] });
    await route.fulfill({ response: answer, json: { requests } });
  });
  await openView(page, 'requests?status=5xx');
  await page.locator('td[data-label=Status]').getByText('could not connect').waitFor();
  await noProblems(page);
});

test('requests unfold into attempts with their rules, and are filtered', async () => {
  const page = await openPage(browser, { storage: { pool: 'main' } });
  await signIn(page, { view: 'requests' });
  await page.getByLabel('Status').selectOption('rotated');
  await page.getByRole('button', { name: /^Attempts of the request/ }).first().click();
  await page.locator('.attempts').getByText('credential rejected').first().waitFor();
  await page.getByLabel('Model').selectOption('demo-model');
  assert.ok(await page.locator('tbody tr:visible').count() > 0);
  await openView(page, 'requests?status=5xx');
  await page.getByText('No request matches.').waitFor();
  await noProblems(page);
});
