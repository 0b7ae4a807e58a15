// SPDX-License-Identifier: Apache-2.0
// The operator's API, which answers in the language of the page. The token stays in memory; after a reload the HttpOnly cookie stands for it.
import { currentLanguage } from './i18n.js';

/** An answer that is not a success. Status 0: there was no answer. */
export class ApiError extends Error {
  constructor(status, error = {}, retryAfter = 0) {
    super(error.message ?? '');
    this.status = status;
    this.code = error.code ?? (status ? 'http' : 'unreachable');
    this.field = error.field;
    this.retryAfter = retryAfter;
  }
}

/** A session is left a little before it ends: the server counts in whole seconds. */
const MARGIN = 2000;
const LONGEST_TIMER = 86400000;

let token = null;
let signInAgain = null; // async; resolves when there is a session again
let renewal = null;
let endsAt = Infinity; // when the session ends, by the clock of the browser
let alarm = null;

/** What is to be done when a session has ended; requests wait for it, and the one that noticed it is then sent once more. */
export function onExpired(handler) {
  signInAgain = handler;
}

/** Forgets the session. */
export function forgetSession() {
  token = null;
  endsAt = Infinity;
  clearTimeout(alarm);
}

/** Whether the session is known to have ended: a request would fail. */
export const isSessionOver = () => Date.now() >= endsAt;

/** Asks for the password when the time is over, rather than by a request that fails. */
function watchEnd() {
  clearTimeout(alarm);
  if (isSessionOver()) {
    renew();
  } else if (endsAt < Infinity) {
    alarm = setTimeout(watchEnd, Math.min(endsAt - Date.now(), LONGEST_TIMER));
  }
}

/** The end is a time of the server's clock, which may not be the browser's; what both agree on is how long it is until then. */
function noteEnd(expires, date) {
  const left = expires ? Date.parse(expires) - (Date.parse(date) || Date.now()) : Infinity;
  endsAt = Date.now() + Math.max(left - MARGIN, left / 2);
  watchEnd();
}

async function send(method, path, { json, text, signal }) {
  const headers = { 'Accept-Language': currentLanguage() };
  if (token) {
    headers.Authorization = `Bearer ${token}`;
  }
  if (json !== undefined || text !== undefined) {
    headers['Content-Type'] = json !== undefined ? 'application/json' : 'text/plain; charset=utf-8';
  }
  try {
    return await fetch(`api/${path}`, {
      method, headers, signal, cache: 'no-store', body: json !== undefined ? JSON.stringify(json) : text,
    });
  } catch (error) {
    if (error.name === 'AbortError') {
      throw error;
    }
    throw new ApiError(0);
  }
}

async function read(answer) {
  if (answer.status === 204) {
    return null;
  }
  const value = await answer.json().catch(() => null);
  if (!answer.ok) {
    throw new ApiError(answer.status, value?.error, Number(answer.headers.get('Retry-After')) || 0);
  }
  return value;
}

/** One dialog for all the requests that find the session ended. */
async function renew() {
  token = null;
  renewal ??= signInAgain?.().finally(() => {
    renewal = null;
  });
  await renewal;
}

/** With asksPassword, 401 may mean that the password is wrong. */
async function request(method, path, options = {}) {
  if (isSessionOver()) {
    await renew();
  }
  let answer = await send(method, path, options);
  while (answer.status === 401 && signInAgain && !options.asksPassword) {
    await renew();
    answer = await send(method, path, options);
  }
  return read(answer);
}

export const get = (path, options) => request('GET', path, options);
export const post = (path, json, options) => request('POST', path, { json, ...options });
export const patchJson = (path, json) => request('PATCH', path, { json });
export const put = (path, json) => request('PUT', path, { json });
export const remove = (path) => request('DELETE', path);

/** What is said of the session, with when it ends; it has no part in the renewal of one. */
async function askSession(method, json) {
  const answer = await send(method, 'session', { json });
  const session = await read(answer);
  noteEnd(session.expires_at, answer.headers.get('Date'));
  return session;
}

/** Signs in. A wrong password is an error like any other. */
export async function signIn(username, password) {
  const session = await askSession('POST', { username, password });
  token = session.token;
  return session;
}

/** A session that is over by itself needs no end. */
export async function signOut() {
  if (!isSessionOver()) {
    await read(await send('DELETE', 'session', {}));
  }
}

/** Ends everybody's session, this one included. */
export async function endSessions() {
  await read(await send('DELETE', 'sessions', {}));
  forgetSession();
}

/** Who is signed in: { user, role, auth, reveal }; user is null for nobody, and auth says whose login there is. */
export async function whoAmI() {
  try {
    return await askSession('GET');
  } catch (error) {
    if (error.status === 401) {
      return { user: null, auth: 'session' };
    }
    throw error;
  }
}

/** A page of a pool's keys. What is searched for may be a whole key: it goes in the body, never in an address, which logs keep. */
export const listKeys = (pool, { q, ...query }) => (q ? post(`${paths.keys(pool)}/search?${new URLSearchParams(query)}`, { q }) : get(paths.keys(pool, query)));

/** What a path may hold: keys(pool, id). */
export const paths = {
  pool: (pool) => `pools/${encodeURIComponent(pool)}`,
  keys: (pool, query) => `pools/${encodeURIComponent(pool)}/keys${query ? `?${new URLSearchParams(query)}` : ''}`,
  key: (pool, id) => `pools/${encodeURIComponent(pool)}/keys/${id}`,
  client: (name) => `clients/${encodeURIComponent(name)}`,
};
