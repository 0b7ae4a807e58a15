// SPDX-License-Identifier: Apache-2.0
// What the browser's tests share: a browser, pages of it that must not complain, and what they find on them.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';

/** Set by t/browser.t: { base, big, keys, screenshots, chromium }. */
export const given = JSON.parse(process.env.APIPOOL_BROWSER);

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** No sandbox: tests run where there may be none, and the pages are ours. */
export const launch = () => chromium.launch({ executablePath: given.chromium, args: ['--no-sandbox', '--disable-dev-shm-usage'] });

/**
 * A page of a browser of its own kind: { language, dark, width, height, zone, password }. Its problems are whatever the
 * console says, errors of scripts, and what the content security policy forbids.
 */
export async function openPage(browser, { language = 'en-US', dark = false, width = 1360, height = 900, zone = 'UTC', storage = {}, password } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: dark ? 'dark' : 'light', locale: language, timezoneId: zone,
    ...(password ? { httpCredentials: password } : {}) });
  const page = Object.assign(await context.newPage(), { problems: [], provoked: [] });
  page.on('console', (message) => {
    const [, status] = message.text().match(/^Failed to load resource: .*(?:status of (\d+)|(?=net::ERR_FAILED))/) ?? [];
    const isOfAnswer = /^Failed to load resource: /.test(message.text());
    const what = isOfAnswer ? `${status ?? 'no answer'} ${message.location().url}` : `${message.type()}: ${message.text()} ${message.location().url}`;
    (isOfAnswer && page.allowed?.test(what) ? page.provoked : page.problems).push(what);
  });
  page.on('pageerror', (error) => page.problems.push(error.stack));
  await page.exposeFunction('tellProblem', (text) => page.problems.push(text));
  await page.addInitScript((saved) => {
    document.addEventListener('securitypolicyviolation', (event) => window.tellProblem(`CSP: ${event.violatedDirective} ${event.blockedURI}`));
    for (const [name, value] of Object.entries(saved)) {
      localStorage.setItem(`apipool.${name}`, value);
    }
  }, storage);
  return page;
}

/**
 * A step in which an answer fails on purpose, which the browser tells the console of: "STATUS URL", or "no answer URL". It has to,
 * and nothing else may; before and after the step it is a problem like any other.
 */
export async function provoking(page, pattern, step) {
  page.allowed = pattern;
  page.provoked = [];
  await step();
  for (let i = 0; i < 50 && !page.provoked.length; i++) {
    await page.waitForTimeout(50);
  }
  assert.ok(page.provoked.length, `the console is told of ${pattern}`);
  await page.waitForTimeout(100); // what else of it is on its way
  page.allowed = null;
}

/** Signs in on the page to sign in. */
export async function signIn(page, { base = given.base, mount = '/apipool', user = 'alice', password = 'wonderland', view = 'overview' } = {}) {
  await page.goto(`${base}${mount}/#/${view}`);
  await page.fill('input[name=username]', user);
  await page.fill('input[name=password]', password);
  await page.press('input[name=password]', 'Enter');
  await page.waitForSelector('nav');
  await settled(page);
}

/** Waits until the view has what it shows. */
export async function settled(page) {
  await page.waitForSelector('main h1');
  await page.waitForFunction(() => !document.querySelector('main .spinner'));
}

export async function openView(page, view) {
  await page.evaluate((name) => {
    location.hash = `#/${name}`;
  }, view);
  await page.waitForSelector(`nav a[aria-current][href="#/${view.split('?')[0]}"]`);
  await settled(page);
}

/** Clicks a button by the name that it is read by. */
export const press = (page, name, within = page) => within.getByRole('button', { name, exact: typeof name === 'string' }).first().click();

export async function noProblems(page) {
  assert.deepEqual(page.problems, [], 'the browser has nothing to complain about');
  await page.context().close();
}

/** What axe finds wrong with the page as it is. */
export async function violations(page) {
  await page.evaluate(`${axe};0`);
  const { violations: found } = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
  return found.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map(({ html, any }) => `${html.slice(0, 160)} ${any[0]?.message ?? ''}`).join(' | ')}`);
}

export async function screenshot(page, name) {
  mkdirSync(given.screenshots, { recursive: true });
  await page.screenshot({ path: `${given.screenshots}/${name}.png` });
}

/** A request to a pool, as a client makes it. */
export async function chat(key, { base = given.base, path = '/v1', model = 'demo-model' } = {}) {
  const answer = await fetch(`${base}${path}/chat/completions`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', ...(key ? { Authorization: `Bearer ${key}` } : {}) },
    body: JSON.stringify({ model, messages: [{ role: 'user', content: 'Hello' }] }),
  });
  await answer.text();
  return answer.status;
}

let token = null;

const ask = (method, path, json) => fetch(`${given.base}/apipool/api/${path}`, {
  method,
  headers: { 'Content-Type': 'application/json', ...(token ? { Authorization: `Bearer ${token}` } : {}) },
  body: json === undefined ? undefined : JSON.stringify(json),
});

/** The API, asked beside the page: api('GET', 'pools'), as alice. */
export async function api(method, path, json) {
  token ??= (await (await ask('POST', 'session', { username: 'alice', password: 'wonderland' })).json()).token;
  const answer = await ask(method, path, json);
  assert.ok(answer.ok, `${method} ${path}: ${answer.status}`);
  return answer.status === 204 ? null : answer.json();
}
