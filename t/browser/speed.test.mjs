// SPDX-License-Identifier: Apache-2.0
// The first view with 100,000 keys: what is transferred, and how long it takes.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { given, launch, noProblems, openPage, openView, signIn } from './lib.mjs';

const BYTES = 300_000;
const READY_MS = 1000;
const ROUNDS = 5;
const ROUNDS_OF_A_BUSY_MACHINE = 15;

let browser;
before(async () => {
  browser = await launch();
});
after(() => browser.close());

/** Loads the page anew, without a cache; gives bytes and milliseconds until the view is there. */
async function measure(page) {
  const wire = await page.context().newCDPSession(page);
  let bytes = 0;
  const seen = [];
  await wire.send('Network.enable');
  await wire.send('Network.setCacheDisabled', { cacheDisabled: true });
  wire.on('Network.loadingFinished', ({ encodedDataLength }) => {
    bytes += encodedDataLength;
  });
  wire.on('Network.responseReceived', ({ response }) => seen.push(new URL(response.url).pathname));
  await page.reload();
  await page.waitForSelector('html[data-ready=overview]');
  const ms = await page.evaluate(() => performance.now());
  await page.waitForSelector('canvas');
  await page.waitForTimeout(200);
  await wire.detach();
  return { ms, bytes, seen };
}

test('the first view takes at most 300 kB and a second', async () => {
  const page = await openPage(browser);
  await signIn(page, { base: given.big });
  const rounds = [];
  const best = () => Math.min(...rounds.map(({ ms }) => ms));
  while (rounds.length < ROUNDS || (best() > READY_MS && rounds.length < ROUNDS_OF_A_BUSY_MACHINE)) {
    rounds.push(await measure(page));
  }
  const most = Math.max(...rounds.map(({ bytes }) => bytes));
  console.log(`# first view with 100,000 keys: ${rounds.map(({ ms }) => Math.round(ms)).join(', ')} ms, ${most} bytes`);
  assert.ok(rounds[0].seen.some((path) => path.endsWith('/chart.min.js')), 'Chart.js is among it');
  assert.ok(most <= BYTES, `${most} bytes`);
  assert.ok(best() <= READY_MS, `${best()} ms`);
  await page.locator('h2').getByText('100,000 keys').waitFor();
  await noProblems(page);
});

test('100,000 keys are searched, sorted and turned over', async () => {
  const page = await openPage(browser);
  await signIn(page, { base: given.big, view: 'keys' });
  await page.getByText('1–50 of 100,000').waitFor();
  await press(page, 'Last');
  await page.getByText('99,951–100,000 of 100,000').waitFor();
  await openView(page, 'keys?state=disabled');
  await page.getByText('No key matches.').waitFor();
  await noProblems(page);
});

const press = (page, name) => page.getByRole('button', { name, exact: true }).click();
