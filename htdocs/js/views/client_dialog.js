// SPDX-License-Identifier: Apache-2.0
// A client: made or changed; its key is shown once, with what to do with it.
import { patchJson, paths, post } from '../api.js';
import { copy } from '../components/copy.js';
import { openDialog } from '../components/dialog.js';
import { say } from '../components/news.js';
import { button, choice, errorText, fault, field, fieldIds } from '../components/parts.js';
import { t } from '../i18n.js';
import { state } from '../state.js';
import { load, save } from '../storage.js';
import { flag, html } from '../template.js';
import { addresses, snippets } from './snippets.js';

const LIMITS = ['rpm', 'tpm', 'tokens_per_day', 'concurrency'];
const UNLISTED = 'unlisted'; // an endpoint: paths that the module does not know
const FIELDS = ['name', 'expires_at', 'models', 'endpoints', ...LIMITS];

/** A time as an input of type datetime-local has it: in the viewer's zone. */
export function localTime(when) {
  const date = new Date(when);
  return new Date(date - date.getTimezoneOffset() * 60000).toISOString().slice(0, 16);
}

const listOf = (text) => text.split(/[,\n]/).map((part) => part.trim()).filter(Boolean);

function readForm(element, isNew) {
  const data = new FormData(element);
  const limits = LIMITS.map((name) => [name, data.get(name) === '' ? null : Number(data.get(name))]);
  return {
    ...(isNew ? { name: data.get('name').trim() } : {}),
    enabled: data.get('enabled') !== null,
    expires_at: data.get('expires_at') ? new Date(data.get('expires_at')).toISOString() : null,
    pools: data.getAll('pools'),
    models: listOf(data.get('models')),
    endpoints: [...listOf(data.get('endpoints')), ...data.getAll('unlisted')],
    ...Object.fromEntries(limits),
  };
}

function form(it) {
  const { client, ids, error, busy } = it;
  const wrong = (name) => (error?.field?.startsWith(name) ? errorText(error) : '');
  const one = (name, more = {}) => field(ids(name), { name, label: t(`client.${name}`), error: wrong(name), value: client?.[name], ...more });
  const count = html` min="1" max="4294967295" placeholder="${t('limit.none')}"`;
  return html`<form data-on-submit="save" class="stack">
    ${client ? '' : one('name', { hint: t('client.name_hint'), attributes: html` required maxlength="63" data-focus` })}
    <div class="grid">${LIMITS.map((name) => one(name, { type: 'number', attributes: count }))}
    ${one('expires_at', { type: 'datetime-local', hint: t('client.expires_hint'), value: client?.expires_at ? localTime(client.expires_at) : '' })}</div>
    <fieldset><legend>${t('client.pools')}</legend><p class="hint">${t('client.pools_hint')}</p>${state.pools.map(({ name }) => html`<label class="tick">
      <input type="checkbox" name="pools" value="${name}"${flag('checked', client?.pools.includes(name))}> ${name}</label>`)}</fieldset>
    <div class="grid">${one('models', { hint: t('client.models_hint'), value: client?.models.join(', ') })}
    ${one('endpoints', { hint: t('client.endpoints_hint'), value: client?.endpoints.filter((name) => name !== UNLISTED).join(', ') })}</div>
    <label class="tick"><input type="checkbox" name="unlisted" value="${UNLISTED}"${flag('checked', client?.endpoints.includes(UNLISTED))}> ${t('client.unlisted')}</label>
    <label class="tick"><input type="checkbox" name="enabled"${flag('checked', client?.enabled ?? true)}> ${t('client.is_enabled')}</label>
    ${fault(error && !FIELDS.some((name) => error.field?.startsWith(name)) ? error : null)}
    <footer>${button({ name: 'close', text: t('action.cancel') })}
      ${button({ type: 'submit', text: t(client ? 'action.save' : 'clients.create'), kind: 'main', disabled: busy })}</footer></form>`;
}

/** A pool that a client may use and that is not seen here is kept. */
const unseenPools = (client) => (client?.pools ?? []).filter((pool) => !state.pools.some(({ name }) => name === pool));

async function saveClient(it, element) {
  const wanted = readForm(element, !it.client);
  wanted.pools.push(...unseenPools(it.client));
  return it.client ? patchJson(paths.client(it.client.name), wanted) : post('clients', wanted);
}

/** Makes one, or changes the one that is given; resolves with whether something changed. */
export async function openClient(client) {
  const it = { client, ids: fieldIds(), error: null, busy: false };
  const dialog = openDialog({
    title: () => (client ? t('clients.edit_one', { name: client.name }) : t('clients.create')),
    body: () => form(it),
    kind: 'large',
    handlers: {
      save: async (self, element) => {
        Object.assign(it, { error: null, busy: true });
        self.show();
        try {
          self.close(await saveClient(it, element));
        } catch (error) {
          Object.assign(it, { error, busy: false });
          self.show();
          self.element.querySelector('[aria-invalid]')?.focus();
        }
      },
    },
  });
  const saved = await dialog.done;
  if (saved?.key) {
    await showKey(saved);
  } else if (saved) {
    say(t('clients.saved', { name: saved.name }));
  }
  return Boolean(saved);
}

/** Clients may have another address for a location, that of a proxy: it is remembered. */
function baseFor(url) {
  const [of, base] = (load('base') ?? '').split(' ');
  return base && of === url ? base : url;
}

/** Where the pools of a client are, which of them the examples show, and these. */
function examples({ ids, places, url, base, language }, key, model) {
  if (!places.length) {
    return html`<p class="notice warn" data-unused>${t('clients.unused')}</p>`;
  }
  return html`${places.length < 2 ? '' : choice(ids('place'), { name: 'place', label: t('clients.place'), value: url, change: 'place',
    options: places.map((place) => [place.url, t(place.conditional ? 'location.conditional' : 'location.of', place)]) })}
    <div class="field"><label for="${ids('base')}">${t('clients.base')}</label>
      <input id="${ids('base')}" type="url" value="${base}" data-on-input="base" autocomplete="off" aria-describedby="${ids('hint')}"><p class="hint" id="${ids('hint')}">${t('clients.base_hint')}</p></div>
    <div class="segments" role="group" aria-label="${t('clients.snippets')}">${Object.keys(snippets).map((one) => button({ name: 'language', value: one, text: t(`snippet.${one}`), pressed: one === language }))}</div>
    <div class="copyable"><pre tabindex="0" role="region" aria-label="${t(`snippet.${language}`)}"><code data-snippet="${language}">${snippets[language](base, key, model)}</code></pre>
    ${button({ name: 'copySnippet', text: t('action.copy'), icon: 'copy' })}</div>`;
}

const OVERLAPS = [0, 3600, 86400, 7 * 86400]; // seconds

/** Gives a client another key; resolves with whether that happened. */
export async function rotateKey({ name }) {
  const it = { ids: fieldIds(), error: null, busy: false, overlap: '86400' };
  const dialog = openDialog({
    title: () => t('clients.rotate_one', { name }),
    body: () => html`<form data-on-submit="rotate" class="stack"><p>${t('clients.rotate_about')}</p>
      ${choice(it.ids('overlap'), { name: 'overlap', label: t('clients.overlap'), value: it.overlap, options: OVERLAPS.map((seconds) => [String(seconds), t(`overlap.${seconds}`)]) })}
      ${fault(it.error)}<footer>${button({ name: 'close', text: t('action.cancel') })}
      ${button({ type: 'submit', text: t('clients.rotate'), kind: 'main', disabled: it.busy })}</footer></form>`,
    handlers: {
      rotate: async (self, element) => {
        Object.assign(it, { error: null, busy: true, overlap: new FormData(element).get('overlap') });
        self.show();
        try {
          self.close(await post(`${paths.client(name)}/rotate`, { overlap: Number(it.overlap) }));
        } catch (error) {
          Object.assign(it, { error, busy: false });
          self.show();
        }
      },
    },
  });
  const rotated = await dialog.done;
  if (rotated) {
    await showKey(rotated);
  }
  return Boolean(rotated);
}

/** The new key of a client, which nobody is shown again. */
function showKey({ name, key, models, pools }) {
  const model = models[0] ?? 'MODEL';
  const places = addresses(pools);
  const it = { ids: fieldIds(), places, url: places[0]?.url, base: baseFor(places[0]?.url), language: 'curl' };
  return openDialog({
    title: () => t('clients.created', { name }),
    kind: 'large',
    locked: true,
    body: () => html`<div class="stack"><p class="notice warn">${t('clients.once')}</p>
      <div class="copyable"><code class="secret" data-client-key>${key}</code>${button({ name: 'copyKey', text: t('action.copy'), icon: 'copy', kind: 'main' })}</div>
      ${examples(it, key, model)}
      <footer>${button({ name: 'kept', text: t('clients.kept'), kind: 'main' })}</footer></div>`,
    handlers: {
      kept: (self) => self.close(),
      copyKey: () => copy(key, t('clients.key')),
      copySnippet: () => copy(snippets[it.language](it.base, key, model), t(`snippet.${it.language}`)),
      language: (self, element) => {
        it.language = element.dataset.value;
        self.show();
      },
      place: (self, { value }) => {
        Object.assign(it, { url: value, base: baseFor(value) });
        self.show();
      },
      base: (self, input) => {
        it.base = input.value.trim().replace(/\/+$/, '');
        save('base', `${it.url} ${it.base}`);
        self.show();
      },
    },
  }).done;
}
