// SPDX-License-Identifier: Apache-2.0
// All keys and clients in one encrypted file: made on the page, and read on the page.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { api, launch, noProblems, openPage, provoking, signIn } from './lib.mjs';

const PASSPHRASE = 'correct horse battery';

let browser;
before(async () => {
  browser = await launch();
});
after(() => browser.close());

const dialog = (page) => page.locator('dialog');
const submit = (page) => dialog(page).locator('[type=submit]').click();
const counted = async (page, of, name) => Number((await dialog(page).locator(`[data-of=${of}] [data-count=${name}]`).textContent()).replaceAll(',', ''));
const moved = async () => (await api('GET', 'pools/import/keys?q=moved')).keys;

async function exportFrom(page) {
  await page.getByRole('region', { name: 'Move to another server' }).getByRole('button', { name: 'Export…' }).click();
  await page.fill('dialog input[name=passphrase]', 'too short');
  await page.fill('dialog input[name=again]', 'too short');
  await page.fill('dialog input[name=password]', 'wonderland');
  await submit(page);
  await dialog(page).getByText('at least 12 bytes.').waitFor();
  await page.fill('dialog input[name=passphrase]', PASSPHRASE);
  await submit(page);
  await dialog(page).getByText('The two passphrases differ.').waitFor();
  await page.fill('dialog input[name=again]', PASSPHRASE);
  const [file] = await Promise.all([page.waitForEvent('download'), submit(page)]);
  assert.match(file.suggestedFilename(), /^apipool-\d{4}-\d\d-\d\d\.archive$/);
  return readFile(await file.path());
}

test('keys and clients are exported, and imported again', async () => {
  await api('POST', 'pools/import/keys', [{ key: 'sk-ok-page-moved-aaaaaa1', label: 'moved', limits: { rpm: 7 } }]);
  const page = await openPage(browser);
  await signIn(page, { mount: '/moving', view: 'settings' });
  const buffer = await exportFrom(page);
  assert.equal(buffer.subarray(0, 8).toString(), 'apipoolA');
  assert.ok(!buffer.includes('sk-ok') && !buffer.includes('moved'));

  const [{ id }] = await moved();
  await api('DELETE', `pools/import/keys/${id}`);
  await page.getByRole('button', { name: 'Import an archive…' }).click();
  await page.setInputFiles('dialog input[type=file]', { name: 'some.archive', mimeType: 'application/octet-stream', buffer });
  await page.fill('dialog input[name=passphrase]', 'another passphrase');
  await provoking(page, /^400 .*\/archive\/import/, async () => {
    await submit(page);
    await dialog(page).getByText('The passphrase is wrong.').waitFor();
  });
  await page.fill('dialog input[name=passphrase]', PASSPHRASE);
  await submit(page);
  await dialog(page).getByText('This would be added:').waitFor();
  assert.equal(await counted(page, 'keys', 'new'), 1);
  assert.equal(await counted(page, 'clients', 'new'), 0);
  assert.equal((await moved()).length, 0);
  await submit(page);
  await dialog(page).getByText('The import is done.').waitFor();
  assert.equal(await counted(page, 'keys', 'added'), 1);
  const [key] = await moved();
  assert.deepEqual([key.label, key.limits.rpm], ['moved', 7]);
  await submit(page);
  await dialog(page).waitFor({ state: 'detached' });
  await noProblems(page);
  await api('DELETE', `pools/import/keys/${key.id}`);
});

test('it is offered to those who may, in their language', async () => {
  const page = await openPage(browser, { language: 'zh-CN', width: 390 });
  await signIn(page, { view: 'settings' });
  const card = page.getByRole('region', { name: '迁移到其他服务器' });
  assert.deepEqual(await card.getByRole('button').allTextContents().then((texts) => texts.map((text) => text.trim())), ['导入归档…']);
  await card.getByText('APIPoolAdminReveal').waitFor();
  await noProblems(page);
  const viewer = await openPage(browser);
  await signIn(viewer, { view: 'settings', user: 'bob', password: 'builder' });
  assert.equal(await viewer.getByRole('region', { name: 'Move to another server' }).count(), 0);
});
