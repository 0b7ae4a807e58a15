// SPDX-License-Identifier: Apache-2.0
// Clients: who may use the pools, with which limits, and what each has used.
import { get, patchJson, paths, remove } from '../api.js';
import { confirm } from '../components/dialog.js';
import { say } from '../components/news.js';
import { icon } from '../components/icons.js';
import { button, empty, errorText, gauge } from '../components/parts.js';
import { ago, NONE, number, percent, time } from '../format.js';
import { t } from '../i18n.js';
import { address } from '../router.js';
import { isAdmin, state, takePools } from '../state.js';
import { html } from '../template.js';
import { View } from '../view.js';
import { openClient, rotateKey } from './client_dialog.js';
import { getUnreached, moveUnreached, unreachedCard } from './move.js';

const EVERY = 5000;
const MANY = 10; // from here on they can be searched
const COLUMNS = ['name', 'may', 'requests', 'success', 'rpm', 'tpm', 'tpd', 'in_flight', 'tokens', 'used'];

export class Clients extends View {
  clients = [];

  unreached = { clients: [], keys: [] };

  search = '';

  loadedAt = 0;

  constructor(place, name, params) {
    super(place, name, params);
    this.handle({
      search: (input) => {
        this.search = input.value.normalize().trim().toLowerCase();
        this.show();
      },
      create: () => this.#edit(null),
      edit: (element) => this.#edit(this.#named(element)),
      rotate: (element) => this.#rotate(this.#named(element)),
      toggle: (element) => this.#toggle(this.#named(element)),
      remove: (element) => this.#remove(this.#named(element)),
      moveUnreached: (element) => this.#move(element.dataset.value),
    });
  }

  async fetch(isCurrent) {
    if (!state.pools) {
      takePools((await get('pools')).pools);
    }
    this.loadedAt = Date.now();
    const [{ clients }, unreached] = await Promise.all([get('clients'), getUnreached()]);
    if (isCurrent()) {
      this.clients = clients;
      this.unreached = unreached;
    }
  }

  refresh() {
    if (this.ready && Date.now() - this.loadedAt > EVERY) {
      this.load();
    }
  }

  #named(element) {
    return this.clients.find(({ name }) => name === element.dataset.value);
  }

  async #edit(client) {
    if (await openClient(client)) {
      await this.load();
    }
  }

  async #rotate(client) {
    if (await rotateKey(client)) {
      await this.load();
    }
  }

  async #move(value) {
    if (await moveUnreached(this.unreached, value)) {
      takePools((await get('pools')).pools);
      await this.load();
    }
  }

  async #toggle({ name, enabled }) {
    try {
      await patchJson(paths.client(name), { enabled: !enabled });
      say(t(enabled ? 'clients.disabled' : 'clients.enabled', { name }));
    } catch (error) {
      say(errorText(error), 'bad');
    }
    await this.load();
  }

  async #remove({ name }) {
    const gone = await confirm({
      title: t('delete.client'),
      text: t('delete.client_text', { name }),
      about: t('delete.client_about'),
      verb: t('action.delete'),
      work: async () => {
        await remove(paths.client(name));
        say(t('delete.client_done', { name }));
      },
    });
    if (gone) {
      await this.load();
    }
  }

  tools() {
    return this.ready && isAdmin() ? button({ name: 'create', text: t('clients.create'), icon: 'plus', kind: 'main' }) : '';
  }

  content() {
    return html`${unreachedCard(this.unreached)}${this.#list()}`;
  }

  #list() {
    if (!this.clients.length) {
      return empty(t('clients.none'), isAdmin() ? button({ name: 'create', text: t('clients.create'), icon: 'plus', kind: 'main' }) : '');
    }
    const shown = this.clients.filter(({ name }) => name.toLowerCase().includes(this.search));
    return html`${this.clients.length < MANY ? '' : html`<div class="tools"><div class="field search"><label class="unseen" for="client-search">${t('clients.search')}</label>${icon('search')}
      <input id="client-search" type="search" placeholder="${t('clients.search')}" data-on-input="search" autocomplete="off"></div>
      <span class="hint" role="status">${t('clients.total', { count: shown.length, n: shown.length })}</span></div>`}
    ${shown.length ? html`<div class="scroll card flush" tabindex="0" role="group" aria-label="${t('clients.title')}"><table role="table" class="cards">
      <thead role="rowgroup"><tr role="row">${COLUMNS.map((name) => html`<th role="columnheader" scope="col">${t(`client.${name}`)}</th>`)}
        <th role="columnheader" scope="col"><span class="unseen">${t('column.actions')}</span></th></tr></thead>
      <tbody role="rowgroup">${shown.map(clientRow)}</tbody></table></div>` : empty(t('clients.none_match'))}`;
  }
}

/** What a client may use, in words. */
function permissions({ pools, models, endpoints }) {
  const parts = [['pools', pools], ['models', models], ['endpoints', endpoints]].filter(([, list]) => list.length)
    .map(([name, list]) => t(`client.only_${name}`, { list: list.join(t('list.comma')) }));
  return parts.length ? parts.map((part) => html`<span class="reason">${part}</span>`) : html`<span class="hint">${t('client.everything')}</span>`;
}

function standing({ enabled, expires_at: expires, old_until: oldUntil }) {
  const isOver = expires && Date.parse(expires) < Date.now();
  return html`<span class="pill is-${!enabled ? 'disabled' : isOver ? 'invalid' : 'active'}">${t(!enabled ? 'state.disabled' : isOver ? 'client.expired' : 'state.active')}</span>
    ${expires ? html`<span class="reason">${t(isOver ? 'client.expired_on' : 'client.expires', { at: time(expires) })}</span>` : ''}
    ${oldUntil ? html`<span class="reason">${t('client.old_until', { at: time(oldUntil) })}</span>` : ''}`;
}

function clientRow(client) {
  const { name, usage } = client;
  const cell = (column, content, kind = '') => html`<td role="cell" class="${kind}" data-label="${t(`client.${column}`)}">${content}</td>`;
  const one = (action, shape, label) => button({ name: action, value: name, icon: shape, label, kind: 'quiet' });
  return html`<tr role="row" data-key="${name}">${cell('name', html`<strong>${name}</strong> ${standing(client)}`)}${cell('may', permissions(client))}
    ${cell('requests', html`${usage.requests ? html`<a href="${address('requests', { client: name })}">${number(usage.requests)}</a>` : number(0)}${usage.errors ? html`<span class="reason">${t('client.errors', { count: usage.errors, n: usage.errors })}</span>` : ''}`, 'figure')}
    ${cell('success', percent(usage.success_rate), 'figure')}${cell('rpm', gauge(t('client.rpm'), usage.rpm, client.rpm))}${cell('tpm', gauge(t('client.tpm'), usage.tpm, client.tpm))}
    ${cell('tpd', gauge(t('client.tpd'), usage.tpd, client.tokens_per_day))}${cell('in_flight', gauge(t('client.in_flight'), client.in_flight, client.concurrency))}${cell('tokens', html`${number(usage.total_tokens)}${usage.estimated_tokens ? html`<span class="reason">${t('client.estimated', { n: usage.estimated_tokens })}</span>` : ''}`, 'figure')}
    ${cell('used', client.last_used_at ? html`<time datetime="${client.last_used_at}" title="${time(client.last_used_at)}">${ago(client.last_used_at)}</time>` : NONE)}
    <td role="cell" class="actions">${isAdmin() ? html`${one('toggle', client.enabled ? 'pause' : 'play', t(client.enabled ? 'clients.disable_one' : 'clients.enable_one', { name }))}
      ${one('edit', 'edit', t('clients.edit_one', { name }))}${one('rotate', 'check', t('clients.rotate_one', { name }))}${one('remove', 'remove', t('clients.delete_one', { name }))}` : ''}</td></tr>`;
}
