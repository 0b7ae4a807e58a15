// SPDX-License-Identifier: Apache-2.0
// One key: all that is known of it, and what can be changed.
import { get, patchJson, paths, post } from '../api.js';
import { copy } from '../components/copy.js';
import { openDialog } from '../components/dialog.js';
import { lastError, stateLine } from '../components/key_state.js';
import { say } from '../components/news.js';
import { button, errorText, fault, field, fieldIds } from '../components/parts.js';
import { duration, moneys, NONE, number, percent, time } from '../format.js';
import { t } from '../i18n.js';
import { currentPool, isAdmin, state, watch } from '../state.js';
import { flag, html } from '../template.js';
import { checkOne, deleteOne, nameOf } from './key_actions.js';

const EVERY = 5000;

export const LIMITS = ['rpm', 'tpm', 'rpd', 'tpd', 'concurrency'];

function facts(key) {
  const error = lastError(key);
  const list = [['state', stateLine(key)], ['upstream', key.upstream ?? NONE], ['id', html`<code>${key.id}</code> ${button({ name: 'copyId', label: t('key.copy_id'), icon: 'copy', kind: 'quiet small' })}`],
    ['added', time(key.added_at)], ['used', time(key.last_used_at)],
    ['requests', t('key.requests', { n: key.requests, good: key.successes, rate: percent(key.success_rate) })],
    ['tokens', html`${t('key.tokens', { n: key.total_tokens, prompt: key.prompt_tokens, completion: key.completion_tokens, cached: key.cached_tokens })}${key.estimated_tokens ? html`<span class="reason">${t('client.estimated', { n: key.estimated_tokens })}</span>` : ''}`],
    ['latency', t('list.aside', { text: duration(key.latency_ms), aside: t('list.of', { name: t('tile.ttft'), value: duration(key.ttft_ms) }) })], ['in_flight', number(key.in_flight)],
    ['balance', key.balance ? `${moneys(key.balance.amounts)} (${time(key.balance.checked_at)})` : NONE],
    ['errors', error ? html`${t('list.aside', { text: error.text, aside: error.when })}${error.words ? html`<span class="reason">${error.words}</span>` : ''}` : NONE]];
  return html`<dl class="facts">${list.map(([name, value]) => html`<div><dt>${t(`fact.${name}`)}</dt><dd>${value}</dd></div>`)}</dl>`;
}

function form({ ids, error, busy }, key) {
  const wrong = (name) => (error?.field?.startsWith(name) ? errorText(error) : '');
  const pool = currentPool()?.settings.limits ?? {};
  const own = html` min="1" max="4294967295" inputmode="numeric"`;
  return html`<form data-on-submit="save" class="stack">
    <div class="grid">${field(ids('label'), { name: 'label', label: t('key.label'), value: key.label, error: wrong('label'), attributes: html` maxlength="120"` })}
    ${field(ids('account'), { name: 'account', label: t('key.account'), value: key.account, hint: t('key.account_hint'), error: wrong('account'), attributes: html` maxlength="64"` })}
    ${field(ids('weight'), { name: 'weight', label: t('key.weight'), type: 'number', value: key.weight, hint: t('key.weight_hint'), error: wrong('weight'), attributes: html` min="1" max="1000" required` })}</div>
    <fieldset><legend>${t('key.limits')}</legend><div class="grid">${LIMITS.map((name) => field(ids(name), {
    name, label: t(`limit.${name}`), type: 'number', value: key.limits[name], attributes: html`${own} placeholder="${pool[name] ? number(pool[name]) : t('limit.none')}"` }))}</div>
    <p class="hint">${t('key.limits_hint')}</p></fieldset>
    <label class="tick"><input type="checkbox" name="enabled"${flag('checked', key.enabled)}> ${t('key.enabled')}</label>
    ${fault(error && !['label', 'account', 'weight'].includes(error.field) ? error : null)}
    <footer>${button({ name: 'remove', text: t('action.delete'), icon: 'remove', kind: 'danger' })}
      ${state.session.reveal ? button({ name: 'reveal', text: t('key.reveal') }) : ''}<span class="fill"></span>
      ${button({ name: 'check', text: t('action.check'), icon: 'check', disabled: busy })}
      ${button({ type: 'submit', text: t('action.save'), kind: 'main', disabled: busy })}</footer></form>`;
}

const numberOf = (text) => (text === '' || text === null ? null : Number(text));

/** What the form says, as the API takes it. */
function readForm(element) {
  const data = new FormData(element);
  return {
    label: data.get('label').trim() || null,
    account: data.get('account').trim() || null,
    weight: Number(data.get('weight')),
    enabled: data.get('enabled') !== null,
    limits: Object.fromEntries(LIMITS.map((name) => [name, numberOf(data.get(name))])),
  };
}

/** Only what is other than before: two operators do not undo each other's changes. */
function changesOf(key, wanted) {
  const isOther = (name) => JSON.stringify(wanted[name]) !== JSON.stringify(
    name === 'limits' ? Object.fromEntries(LIMITS.map((limit) => [limit, key.limits[limit]])) : key[name]);
  return Object.fromEntries(Object.entries(wanted).filter(([name]) => isOther(name)));
}

/** Keeps what is told of a key fresh while its dialog is open; ask() gives the key as it is now. */
function follow(dialog, ask) {
  let askedAt = Date.now();
  const unwatch = watch(async ({ pools }) => {
    if (pools && Date.now() - askedAt > EVERY) {
      askedAt = Date.now();
      await ask().catch(() => null); // the top of the page says that numbers are stale
    }
    if (pools && dialog.element.isConnected) {
      dialog.show();
    }
  });
  dialog.done.then(unwatch);
}

/** Shows a key that was listed; resolves when the dialog is closed. */
export async function openKey(listed) {
  const key = await get(paths.key(listed.pool, listed.id)); // what the form began with
  let now = key;
  const ask = async () => {
    now = await get(paths.key(key.pool, key.id));
  };
  const it = { ids: fieldIds(), error: null, busy: false };
  const attempt = async (dialog, work) => {
    Object.assign(it, { busy: true, error: null });
    dialog.show();
    try {
      await work();
    } catch (error) {
      it.error = error;
    }
    it.busy = false;
    if (dialog.element.isConnected) {
      dialog.show();
    }
  };
  const opened = openDialog({
    title: () => nameOf(key),
    body: () => html`${facts(now)}${isAdmin() ? form(it, key) : ''}`,
    kind: 'large',
    handlers: {
      save: (dialog, element) => attempt(dialog, async () => {
        const changes = changesOf(key, readForm(element));
        if (Object.keys(changes).length) {
          await patchJson(paths.key(key.pool, key.id), changes);
          say(t('key.saved', { key: nameOf(key) }));
        }
        dialog.close(true);
      }),
      check: (dialog) => attempt(dialog, async () => {
        await checkOne(key);
        await ask();
      }),
      remove: async (dialog) => {
        if (await deleteOne(key)) {
          dialog.close(true);
        }
      },
      reveal: () => openReveal(key),
      copyId: () => copy(key.id, t('key.id')),
    },
  });
  follow(opened, ask);
  return opened.done;
}

/** Shows the whole key, after the password. */
function openReveal(key) {
  let error = null;
  let whole = null;
  const id = fieldIds()('password');
  openDialog({
    title: () => t('key.reveal'),
    body: () => (whole ? html`<p><code class="secret">${whole}</code></p><footer>${button({ name: 'copy', text: t('action.copy'), icon: 'copy' })}</footer>`
      : html`<form data-on-submit="go" class="stack"><p>${t('key.reveal_text', { key: nameOf(key) })}</p>
        ${field(id, { name: 'password', label: t('signin.password'), type: 'password', autocomplete: 'current-password', attributes: html` required data-focus` })}
        ${fault(error)}<footer>${button({ type: 'submit', text: t('key.reveal'), kind: 'main' })}</footer></form>`),
    kind: 'small',
    handlers: {
      copy: () => copy(whole, nameOf(key)),
      go: async (dialog, element) => {
        try {
          const password = new FormData(element).get('password');
          whole = (await post(`${paths.key(key.pool, key.id)}/reveal`, { password }, { asksPassword: true })).key;
          error = null;
        } catch (problem) {
          error = problem.status === 401 ? t('signin.wrong') : problem;
        }
        dialog.show();
      },
    },
  });
}
