// SPDX-License-Identifier: Apache-2.0
// Moving to where requests get it: keys to an upstream, and what no server reaches to a server or pool that is there.
import { get, paths, post } from '../api.js';
import { openDialog } from '../components/dialog.js';
import { say } from '../components/news.js';
import { button, choice, fault, fieldIds } from '../components/parts.js';
import { t } from '../i18n.js';
import { isAdmin, state } from '../state.js';
import { html } from '../template.js';

/** Asks where to, and moves there; choices are [value, text], and work(value) resolves with the count. Resolves with whether that was done. */
async function ask({ title, text, choices, work }) {
  const ids = fieldIds();
  let it = { to: choices[0]?.[0] ?? '', error: null, busy: false };
  const moved = await openDialog({
    title: () => title,
    kind: 'small',
    body: () => html`<form data-on-submit="go" class="stack"><p>${text}</p>
      ${choices.length ? choice(ids('to'), { name: 'to', label: t('move.to'), options: choices, value: it.to, change: 'to' }) : ''}${fault(it.error)}
      <footer>${button({ name: 'close', text: t('action.cancel') })}
      ${button({ type: 'submit', text: it.busy ? t('state.working') : t('action.move'), kind: 'main', disabled: it.busy })}</footer></form>`,
    handlers: {
      to: (self, element) => {
        it.to = element.value;
      },
      go: async (self) => {
        it = { ...it, error: null, busy: true };
        self.show();
        try {
          self.close(await work(it.to));
        } catch (error) {
          it = { ...it, error, busy: false };
          self.show();
        }
      },
    },
  }).done;
  return moved !== null;
}

const upstreamsOf = (name) => state.pools.find((pool) => pool.name === name)?.upstreams ?? [];

/** Moves keys of a pool to another of its upstreams; text says which. */
export const moveKeys = ({ pool, target, count }, text) => ask({
  title: t('many.move', { count, n: count }),
  text,
  choices: upstreamsOf(pool).map(({ name }) => [name, name]),
  work: async (upstream) => {
    const { done } = await post(`${paths.keys(pool)}/actions`, { action: 'move', upstream, ...target });
    say(t('many.move_done', { count: done, n: done, upstream }));
    return done;
  },
});

/* --- What no server reaches --- */

const NOTHING = { clients: [], keys: [] };

export const getUnreached = () => get('unreached').catch(() => NOTHING);

const told = (of, kind) => t(`unreached.${kind}`, { count: of[kind], n: of[kind], server: of.server || t('unreached.main'), pool: of.pool ?? '', upstream: of.upstream ?? '' });

const row = (of, kind, i) => html`<li data-unreached="${kind}"><span>${told(of, kind)}</span>
  ${isAdmin() ? button({ name: 'moveUnreached', value: `${kind} ${i}`, text: t(kind === 'clients' ? 'move.here' : 'move.pool') }) : ''}</li>`;

/** A card of them, or nothing. */
export const unreachedCard = ({ clients, keys }) => (clients.length || keys.length ? html`<section class="card"><h2>${t('unreached.title')}</h2>
  <p class="hint">${t('unreached.about')}</p><ul class="rows">${clients.map((of, i) => row(of, 'clients', i))}${keys.map((of, i) => row(of, 'keys', i))}</ul></section>` : '');

/** Moves what a button of the card names. */
export function moveUnreached(unreached, value) {
  const [kind, i] = value.split(' ');
  const of = unreached[kind][i];
  const places = state.pools.flatMap(({ name, upstreams }) => upstreams.map((upstream) => ({ to_pool: name, to_upstream: upstream.name })));
  return ask({
    title: t(kind === 'clients' ? 'move.here' : 'move.pool'),
    text: told(of, kind),
    choices: kind === 'clients' ? [] : places.map((place, n) => [String(n), t('list.aside', { text: place.to_pool, aside: place.to_upstream })]),
    work: async (to) => {
      const { server, pool, upstream } = of;
      const { moved } = await post('unreached', kind === 'clients' ? { server } : { server, pool, upstream, ...places[to] });
      say(t('move.done', { n: moved }));
      return moved;
    },
  });
}
