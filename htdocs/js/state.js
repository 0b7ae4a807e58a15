// SPDX-License-Identifier: Apache-2.0
// What all views share: who looks, the pools as they were last told, and how fresh that is.
import { load, save } from './storage.js';

export const state = {
  session: null,
  pools: null, // null: not told yet
  pool: load('pool'), // the name of the one that is looked at
  live: 'starting', // starting, live, polling or stale
  at: null, // Date of the last numbers
};

const watchers = new Set();

export function watch(watcher) {
  watchers.add(watcher);
  return () => watchers.delete(watcher);
}

export function update(changes) {
  Object.assign(state, changes);
  for (const watcher of [...watchers]) {
    watcher(changes);
  }
}

export function choosePool(name) {
  save('pool', name);
  update({ pool: name });
}

/** Takes pools as the server tells them; one that is gone is not looked at any longer. */
export function takePools(pools, at = new Date()) {
  const pool = pools.some(({ name }) => name === state.pool) ? state.pool : pools[0]?.name ?? null;
  update({ pools, pool, at });
}

/** The pool that is looked at, or null. */
export const currentPool = () => state.pools?.find(({ name }) => name === state.pool) ?? null;

export const isAdmin = () => state.session?.role === 'admin';
