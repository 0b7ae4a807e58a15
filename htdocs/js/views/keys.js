// SPDX-License-Identifier: Apache-2.0
// The keys of a pool: found, sorted and turned over by the server, so that very many stay usable.
import { get, listKeys, patchJson, paths } from '../api.js';
import { say } from '../components/news.js';
import { errorText } from '../components/parts.js';
import { number } from '../format.js';
import { t } from '../i18n.js';
import { note } from '../router.js';
import { currentPool, isAdmin, state, takePools } from '../state.js';
import { load, save } from '../storage.js';
import { html } from '../template.js';
import { View } from '../view.js';
import { actOnMany, checkOne, deleteOne } from './key_actions.js';
import { openKey } from './key_dialog.js';
import { copyKeys, exportKeys } from './key_export.js';
import { openImport } from './key_import.js';
import { keyFilters, keyPager, keySelection, keyTable, SIZES } from './key_table.js';

const TYPING = 300;
const EVERY = 5000;

/** What of an address is a filter. */
const filterOf = ({ state: states, q, upstream }) => Object.fromEntries(
  Object.entries({ state: states, q, upstream }).filter(([, value]) => value));

/** Whether a text may be a key, or the beginning of one that is being typed: no address holds it, nor the history of the browser. */
const mayBeKey = (text) => /^[!-~]{10,}$/.test(text) && !/^[0-9a-f]{16}$/.test(text);

export class Keys extends View {
  list = null;

  selected = new Map(); // id -> key, over all pages

  allMatching = false;

  busy = new Set(); // ids that something is done with

  loadedAt = 0;

  #typing = null;

  constructor(place, name, params) {
    super(place, name, params);
    this.query = { state: params.get('state') ?? '', q: params.get('q') ?? '', upstream: params.get('upstream') ?? '',
      sort: params.get('sort') ?? 'added_at', order: params.get('order') ?? 'asc', offset: Number(params.get('offset')) || 0 };
    this.size = SIZES.includes(Number(load('page'))) ? Number(load('page')) : SIZES[0];
    this.#listen();
  }

  #listen() {
    this.handle({
      search: (input) => this.#search(input.value),
      clear: () => this.#clearFilters(),
      state: (element) => this.#toggleState(element.dataset.value),
      upstream: (select) => this.change({ upstream: select.value, offset: 0 }),
      sort: (element) => this.#sort(element.dataset.value),
      sortBy: (select) => this.change({ sort: select.value, offset: 0 }),
      order: () => this.change({ order: this.query.order === 'asc' ? 'desc' : 'asc', offset: 0 }),
      page: (element) => this.change({ offset: Number(element.dataset.value) }),
      size: (select) => this.#resize(Number(select.value)),
      select: (box) => this.#select([box.value], box.checked),
      selectPage: (box) => this.#select(this.list.keys.map(({ id }) => id), box.checked),
      selectAll: () => this.#selectAll(),
      selectNone: () => this.#clear(),
      check: (element) => this.withKey(element, (key) => checkOne(key)),
      toggle: (element) => this.withKey(element, (key) => this.#toggle(key)),
      open: (element) => this.withKey(element, (key) => openKey(key)),
      remove: (element) => this.withKey(element, (key) => deleteOne(key)),
      many: (element) => this.#many(element.dataset.value),
      copy: () => copyKeys(state.pool, this.#target(), [...this.selected.values()]),
      export: () => exportKeys(state.pool, this.selected.size || this.allMatching ? this.#target() : { filter: this.filter() },
        [...this.selected.values()]),
      import: () => openImport(currentPool()).then((changed) => changed && this.load()),
    });
  }

  filter() {
    return filterOf(this.query);
  }

  async fetch(isCurrent) {
    if (!state.pools) {
      takePools((await get('pools')).pools);
    }
    if (!state.pool || !isCurrent()) {
      return;
    }
    this.loadedAt = Date.now();
    const query = { ...this.filter(), sort: this.query.sort, order: this.query.order, offset: this.query.offset, limit: this.size };
    const list = await listKeys(state.pool, query);
    if (isCurrent()) {
      this.list = list;
      this.#stayInside();
    }
  }

  /** Keys that went away may leave the page behind the last one. */
  #stayInside() {
    if (this.query.offset && this.query.offset >= this.list.total) {
      this.change({ offset: Math.max(0, Math.floor((this.list.total - 1) / this.size) * this.size) });
    }
  }

  refresh() {
    if (this.ready && Date.now() - this.loadedAt > EVERY && !this.busy.size) {
      this.load();
    } else if (this.ready) {
      this.show();
    }
  }

  change(changes) {
    const before = JSON.stringify(this.filter());
    Object.assign(this.query, changes);
    if (JSON.stringify(this.filter()) !== before) {
      this.selected.clear();
      this.allMatching = false;
    }
    note('keys', { ...this.query, q: mayBeKey(this.query.q) ? '' : this.query.q, offset: this.query.offset || '' });
    this.show();
    return this.load();
  }

  #search(text) {
    clearTimeout(this.#typing);
    this.#typing = setTimeout(() => this.change({ q: text.trim(), offset: 0 }), TYPING);
  }

  #clearFilters() {
    this.change({ q: '', state: '', upstream: '', offset: 0 });
    this.place.querySelector('#key-search').focus();
  }

  #toggleState(name) {
    const chosen = new Set(this.query.state.split(',').filter(Boolean));
    if (!name) {
      chosen.clear();
    } else if (!chosen.delete(name)) {
      chosen.add(name);
    }
    this.change({ state: [...chosen].join(','), offset: 0 });
  }

  #sort(name) {
    const isSame = this.query.sort === name;
    this.change({ sort: name, order: isSame && this.query.order === 'asc' ? 'desc' : 'asc', offset: 0 });
  }

  #resize(size) {
    save('page', size);
    this.size = size;
    this.change({ offset: Math.floor(this.query.offset / size) * size });
  }

  #select(ids, on) {
    const keys = new Map(this.list.keys.map((key) => [key.id, key]));
    this.allMatching = false;
    for (const id of ids) {
      if (on) {
        this.selected.set(id, keys.get(id));
      } else {
        this.selected.delete(id);
      }
    }
    this.show();
  }

  #selectAll() {
    this.allMatching = true;
    this.show();
    this.place.querySelector('.selection button')?.focus();
  }

  #clear() {
    this.selected.clear();
    this.allMatching = false;
    this.show();
    this.place.querySelector('table')?.parentElement.focus();
  }

  /** What is chosen, as the API names it. */
  #target() {
    return this.allMatching ? { filter: this.filter() } : { ids: [...this.selected.keys()] };
  }

  /** How many are chosen. */
  chosen() {
    return this.allMatching ? this.list.total : this.selected.size;
  }

  async #many(action) {
    const changed = await actOnMany(action, { pool: state.pool, target: this.#target(), count: this.chosen(),
      keys: [...this.selected.values()], query: this.query });
    if (changed) {
      this.#clear();
      this.load();
    }
  }

  /** Does something with the key of a row, which shows that it is busy; what comes back says whether it changed. */
  async withKey(element, work) {
    const key = this.list.keys.find(({ id }) => id === element.closest('[data-id]').dataset.id);
    if (!key || this.busy.has(key.id)) {
      return;
    }
    this.busy.add(key.id);
    this.show();
    try {
      await work(key);
    } catch (error) {
      say(errorText(error), 'bad');
    }
    this.busy.delete(key.id);
    await this.load();
  }

  async #toggle(key) {
    await patchJson(paths.key(key.pool, key.id), { enabled: !key.enabled });
    say(t(key.enabled ? 'keys.disabled_one' : 'keys.enabled_one', { key: key.label ?? key.masked }));
  }

  tools() {
    return this.ready ? html`<span class="hint" data-total>${t('keys.total', { count: this.list?.total ?? 0, n: number(this.list?.total ?? 0) })}</span>` : '';
  }

  content() {
    const pool = currentPool();
    return pool && this.list ? html`${keyFilters(this, pool)}${keySelection(this)}${keyTable(this, pool, isAdmin())}${keyPager(this)}`
      : html`<p>${t('overview.no_pool')}</p>`;
  }

  drawn() {
    const box = this.place.querySelector('[data-on-change="selectPage"]');
    if (box) {
      const count = this.list.keys.filter(({ id }) => this.selected.has(id)).length;
      box.indeterminate = count > 0 && count < this.list.keys.length;
    }
  }

  close() {
    super.close();
    clearTimeout(this.#typing);
  }
}
