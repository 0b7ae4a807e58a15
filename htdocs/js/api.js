// SPDX-License-Identifier: Apache-2.0
// The operator's API. The token stays in memory; after a reload the HttpOnly cookie stands for it.

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

let token = null;
let signInAgain = null; // async; resolves when there is a session again
let renewal = null;

export function setToken(value) {
  token = value;
}

/** What is to be done when a session has ended; the request that noticed it is then sent once more. */
export function onExpired(handler) {
  signInAgain = handler;
}

async function send(method, path, { json, text, signal }) {
  const headers = {};
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
function renew() {
  renewal ??= signInAgain().finally(() => {
    renewal = null;
  });
  return renewal;
}

async function request(method, path, options = {}) {
  let answer = await send(method, path, options);
  while (answer.status === 401 && signInAgain && !options.isSignIn) {
    token = null;
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

/** Signs in. A wrong password is an error like any other. */
export async function signIn(username, password) {
  const session = await post('session', { username, password }, { isSignIn: true });
  token = session.token;
  return session;
}

export async function signOut() {
  await request('DELETE', 'session', { isSignIn: true });
  token = null;
}

/** Who is signed in; null: nobody. */
export async function whoAmI() {
  try {
    return await request('GET', 'session', { isSignIn: true });
  } catch (error) {
    if (error.status === 401) {
      return null;
    }
    throw error;
  }
}

/** What a path may hold: keys(pool, id). */
export const paths = {
  pool: (pool) => `pools/${encodeURIComponent(pool)}`,
  keys: (pool, query) => `pools/${encodeURIComponent(pool)}/keys${query ? `?${new URLSearchParams(query)}` : ''}`,
  key: (pool, id) => `pools/${encodeURIComponent(pool)}/keys/${id}`,
  client: (name) => `clients/${encodeURIComponent(name)}`,
};
