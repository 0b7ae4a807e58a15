// SPDX-License-Identifier: Apache-2.0
// Settings: pools and upstreams as configured, how much is logged, how the store does, versions.
import { endSessions, get, put } from '../api.js';
import { confirm } from '../components/dialog.js';
import { say } from '../components/news.js';
import { button, choice, fault } from '../components/parts.js';
import { bytes, clock, countdown, duration, NONE, number, seconds, time } from '../format.js';
import { t } from '../i18n.js';
import { isAdmin, state, takePools } from '../state.js';
import { html } from '../template.js';
import { View } from '../view.js';
import { archiveCard, exportArchive, importArchive } from './archive.js';
import { maintain, maintenanceSwitch, outages, serve } from './maintenance.js';
import { addresses } from './snippets.js';

const LEVELS = ['error', 'warn', 'info', 'debug'];
const EVERY = 5000;

/** How each setting of a pool is shown. */
const span = (value) => (value ? seconds(value) : t('settings.off'));
const SETTINGS = {
  strategy: String, affinity: (value) => (value && value !== 'off' ? value : t('settings.off')), rotations: number, retries: number, max_errors: number,
  deadline: span, wait: span, first_byte_timeout: span, idle_timeout: span, cooldown_min: span, cooldown_max: span,
  recover_min: span, recover_max: span, balance_interval: span, body_limit: bytes,
  stream_usage: (value) => t(value ? 'settings.on' : 'settings.off'), failover: String, on_abort: String,
  limits: (value) => Object.entries(value).filter(([, limit]) => limit).map(([name, limit]) => `${name} ${number(limit)}`).join(t('list.comma')) || t('limit.none'),
};

export class Settings extends View {
  system = null;

  level = null;

  levelError = null;

  loadedAt = 0;

  constructor(place, name, params) {
    super(place, name, params);
    this.handle({ level: (form) => this.#setLevel(new FormData(form).get('level')), endSessions: () => this.#endSessions(),
      exportArchive, importArchive: () => this.#import(),
      maintain: (element) => this.#switch(maintain, element), serve: (element) => this.#switch(serve, element) });
  }

  async fetch(isCurrent) {
    this.loadedAt = Date.now();
    const [{ pools }, { level }, system] = await Promise.all([get('pools'), get('log-level'), get('system')]);
    if (isCurrent()) {
      this.level = level;
      this.system = system;
      takePools(pools);
    }
  }

  refresh() {
    if (this.ready && Date.now() - this.loadedAt > EVERY) {
      this.load();
    }
  }

  async #setLevel(level) {
    this.levelError = null;
    try {
      this.level = (await put('log-level', { level })).level;
      say(t('settings.level_set', { level: t(`level.${this.level}`) }));
    } catch (error) {
      this.levelError = error;
    }
    this.show();
  }

  async #switch(work, { dataset: { value } }) {
    if (await work(state.pools.find(({ name }) => name === value))) {
      this.load();
    }
  }

  async #import() {
    if (await importArchive()) {
      this.load();
    }
  }

  async #endSessions() {
    const ended = await confirm({ title: t('settings.sessions'), text: t('settings.end_sessions_text'), about: t('settings.end_sessions_about'), verb: t('settings.end_sessions'), work: endSessions });
    if (ended) {
      this.load();
    }
  }

  content() {
    return html`<div class="columns"><div class="column wide">${(state.pools ?? []).map(poolCard)}</div>
      <div class="column">${this.#log()}${archiveCard()}${sessionsCard()}${storeCard(this.system)}${versionCard(this.system)}</div></div>`;
  }

  #log() {
    return html`<section class="card" aria-labelledby="log"><h2 id="log">${t('settings.log')}</h2>
      ${isAdmin() ? html`<form data-on-submit="level" class="row">${choice('level', { name: 'level', label: t('settings.level'), value: this.level, options: LEVELS.map((name) => [name, t(`level.${name}`)]) })}
        ${button({ type: 'submit', text: t('settings.set_level') })}</form>` : html`<p>${t(`level.${this.level}`)}</p>`}
      <p class="hint">${t('settings.level_hint')}</p>${fault(this.levelError)}</section>`;
  }
}

const facts = (list) => html`<dl class="facts">${list.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;

/** How each setting of an upstream's connections is shown; switches that are off are not. */
const CONNECTIONS = { connect_timeout: span, ttl: span, max: number, keepalive: () => t('settings.on'), disablereuse: () => t('settings.on'), responsefieldsize: bytes };

const connections = (of) => Object.entries(CONNECTIONS).filter(([name]) => of[name])
  .map(([name, show]) => t('list.of', { name: t(`connection.${name}`), value: show(of[name]) })).join(t('list.comma'));

const UPSTREAM = ['name', 'url', 'provider', 'weight', 'priority', 'connections', 'paused'];

function upstreamRow(upstream) {
  const shown = { name: html`<strong>${upstream.name}</strong>`, url: html`<code>${upstream.url}</code>`, provider: upstream.provider,
    weight: number(upstream.weight), priority: number(upstream.priority), connections: connections(upstream.connections),
    paused: countdown(upstream.paused_until) ? t('settings.until', { at: clock(upstream.paused_until) }) : NONE };
  return html`<tr role="row">${UPSTREAM.map((name) => html`<td role="cell" data-label="${t(`upstream.${name}`)}"><span>${shown[name]}</span></td>`)}</tr>`;
}

function places({ name }) {
  const list = addresses([name]).map(({ url, conditional }) => html`<li><code>${url}</code>${conditional ? html` <span class="hint">${t('location.some')}</span>` : ''}</li>`);
  return html`<div class="places-of"><h3>${t('settings.places')}</h3>
    ${list.length ? html`<ul class="places">${list}</ul>` : html`<p class="notice warn">${t('settings.unused')}</p>`}</div>`;
}

function poolCard(pool) {
  return html`<section class="card" aria-labelledby="pool-${pool.name}"><h2 id="pool-${pool.name}">${t('settings.pool', { name: pool.name })}</h2>
    ${pool.name === state.pool ? '' : outages(pool)}${maintenanceSwitch(pool)}
    <div class="scroll" tabindex="0" role="group" aria-label="${t('settings.upstreams_of', { name: pool.name })}"><table role="table" class="cards">
    <thead role="rowgroup"><tr role="row">${UPSTREAM.map((name) => html`<th role="columnheader" scope="col">${t(`upstream.${name}`)}</th>`)}</tr></thead>
    <tbody role="rowgroup">${pool.upstreams.map(upstreamRow)}</tbody></table></div>
    ${places(pool)}
    ${facts(Object.entries(SETTINGS).map(([name, show]) => [t(`setting.${name}`), show(pool.settings[name])]))}</section>`;
}

const sessionsCard = () => (isAdmin() && state.session.auth !== 'httpd' ? html`<section class="card" aria-labelledby="sessions"><h2 id="sessions">${t('settings.sessions')}</h2>
  <p class="hint">${t('settings.end_sessions_about')}</p>${button({ name: 'endSessions', text: t('settings.end_sessions'), kind: 'danger' })}</section>` : '');

function storeCard({ store, capacity }) {
  const isWell = !store.errors && !store.fault;
  return html`<section class="card" aria-labelledby="store"><h2 id="store">${t('settings.store')}</h2>
    <p class="notice ${isWell ? 'good' : 'bad'}">${isWell ? t('store.well') : store.fault ? t('pool.fault') : t('store.errors', { count: store.errors, n: store.errors })}</p>
    ${facts([[t('store.saved'), time(store.last_saved_at)], [t('store.saves'), number(store.saves)],
    [t('store.took'), store.saves ? duration((store.save_seconds / store.saves) * 1000) : NONE],
    [t('store.unsaved'), t(store.unsaved_keys ? 'settings.yes' : 'settings.no')],
    [t('store.keys'), number(capacity.keys)], [t('store.clients'), number(capacity.clients)], [t('store.requests'), number(capacity.requests)]])}</section>`;
}

const versionCard = ({ version, httpd, apr, openssl, jansson, started_at: started }) => html`<section class="card" aria-labelledby="versions"><h2 id="versions">${t('settings.versions')}</h2>
  ${facts([['mod_apipool', version], ['httpd', httpd], ['APR', apr], ['OpenSSL', openssl], ['jansson', jansson], [t('settings.started'), time(started)]])}</section>`;
