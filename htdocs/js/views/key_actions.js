// SPDX-License-Identifier: Apache-2.0
// What is done with keys that are there: one or many of them.
import { paths, post, remove } from '../api.js';
import { confirm } from '../components/dialog.js';
import { vendorText } from '../components/key_state.js';
import { say } from '../components/news.js';
import { clock, moneys } from '../format.js';
import { t } from '../i18n.js';
import { checkMany } from './key_check.js';
import { moveKeys } from './move.js';

const NAMED = 5;

/** What takes keys out of use. */
const HARSH = ['disable', 'delete'];

export const nameOf = (key) => (key.label ? t('list.aside', { text: key.label, aside: key.masked }) : key.masked);

/** Asks the upstream about a key, and says what it found and the state of the key after that. */
export async function checkOne(key) {
  const result = await post(`${paths.key(key.pool, key.id)}/check`, {});
  const balance = result.balance === null ? '' : t('check.balance', { money: moneys(result.balances) });
  const until = result.cooling_until ?? result.next_probe_at;
  const state = t(until ? 'check.state_until' : 'check.state', { state: t(`state.${result.state}`), at: until && clock(until) });
  const isPlain = result.found === 'usable' && result.state === 'active';
  say([t(`check.${result.found}`, { key: nameOf(key) }), balance, isPlain ? '' : result.detail, vendorText(result.vendor), state].filter(Boolean).reduce((first, then) => t('list.then', { first, then })),
    result.found === 'usable' || result.found === 'not_told' ? 'good' : 'bad');
  return result;
}

/** A key file does not bring back what is deleted, and its line is of no use any longer. */
const andListed = (first, result) => (result?.in_key_files
  ? t('list.then', { first, then: t('delete.listed', { count: result.in_key_files, n: result.in_key_files }) }) : first);

/** A masked key may look like another one; before it is deleted its id is told as well. Resolves with whether it is gone. */
export function deleteOne(key) {
  return confirm({
    title: t('delete.key'),
    text: t('delete.key_text', { key: nameOf(key), id: key.id, pool: key.pool }),
    about: t('delete.key_about'),
    verb: t('action.delete'),
    work: async () => {
      const result = await remove(paths.key(key.pool, key.id));
      say(andListed(t('delete.key_done', { key: nameOf(key) }), result));
    },
  });
}

/** Which keys are hit, in words. */
function describe({ count, keys, target, query, pool }) {
  if (target.ids) {
    const names = keys.slice(0, NAMED).map(nameOf).join(t('list.comma'));
    return count > NAMED ? t('many.names_more', { names, n: count - NAMED, pool }) : t('many.names', { names, pool });
  }
  const filter = [query.state && query.state.split(',').map((name) => t(`state.${name}`)).join(t('list.comma')), query.q && `“${query.q}”`, query.upstream].filter(Boolean);
  return filter.length ? t('many.filter', { filter: filter.join(t('list.and')), pool }) : t('many.all', { pool });
}

async function act(action, { pool, target }) {
  const result = await post(`${paths.keys(pool)}/actions`, { action, ...target });
  say(andListed(t(`many.${action}_done`, { count: result.done, n: result.done }), result));
  return result;
}

/** What is done with many is asked about first. Resolves with whether something was done. */
export async function actOnMany(action, what) {
  if (action === 'move') {
    return moveKeys(what, describe(what));
  }
  if (action === 'check') {
    return checkMany(what, describe(what));
  }
  return confirm({
    title: t(`many.${action}`, { count: what.count, n: what.count }),
    text: describe(what),
    about: t(`about.${action}`),
    verb: t(`action.${action}`),
    kind: HARSH.includes(action) ? 'danger' : 'main',
    work: () => act(action, what),
  });
}
