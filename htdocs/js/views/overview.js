// SPDX-License-Identifier: Apache-2.0
// What is going on: rates, keys by state and those in trouble, charts, tokens by model.
import { get, paths } from '../api.js';
import { loadCharts, TimeChart } from '../components/chart.js';
import { STATES, stateLine, statePill } from '../components/key_state.js';
import { button, empty, share } from '../components/parts.js';
import { clock, compact, countdown, duration, number, percent, times as timesOf } from '../format.js';
import { t } from '../i18n.js';
import { address } from '../router.js';
import { choosePool, currentPool, state, takePools } from '../state.js';
import { load, save } from '../storage.js';
import { html } from '../template.js';
import { View } from '../view.js';

const RANGES = ['1h', '24h'];
const TROUBLE = 'cooling,half_open,quota,invalid,tripped,orphaned';
const MODELS = 8;

/** Whose a request is that was not served, and its colour in the chart. */
const KINDS = { client: 'soft', key: 'second', upstream: 'alarm' };

const AGAIN_WHEN_BUSY = 2000;
const AGAIN_WHEN_IDLE = 20000;

export class Overview extends View {
  range = RANGES.includes(load('range')) ? load('range') : '1h';

  stats = null;

  troubled = [];

  charts = new Map();

  loadedAt = 0;

  loadedRequests = -1;

  constructor(place, name, params) {
    super(place, name, params, {
      range: (element) => this.#chooseRange(element.dataset.value),
      pool: (element) => choosePool(element.dataset.value),
    });
  }

  async fetch(isCurrent) {
    loadCharts();
    if (!state.pools) {
      takePools((await get('pools')).pools);
    }
    const pool = currentPool();
    if (!pool || !isCurrent()) {
      return;
    }
    this.loadedAt = Date.now();
    this.loadedRequests = pool.requests;
    const [stats, keys] = await Promise.all([get(`${paths.pool(pool.name)}/stats?range=${this.range}`),
      get(paths.keys(pool.name, { state: TROUBLE, sort: 'last_used_at', order: 'desc', limit: 6 }))]);
    if (isCurrent()) {
      this.stats = stats;
      this.troubled = keys;
    }
  }

  refresh() {
    const age = Date.now() - this.loadedAt;
    const isBusy = currentPool()?.requests !== this.loadedRequests;
    if (this.ready && (age > AGAIN_WHEN_IDLE || (isBusy && age > AGAIN_WHEN_BUSY))) {
      this.load();
    } else if (this.ready) {
      this.show();
    }
  }

  #chooseRange(range) {
    save('range', range);
    this.range = range;
    this.show();
    this.load();
  }

  tools() {
    return html`<div class="segments" role="group" aria-label="${t('overview.range')}">${RANGES.map((range) => button({
      name: 'range', value: range, text: t(`overview.${range}`), pressed: range === this.range }))}</div>`;
  }

  content() {
    const pool = currentPool();
    if (!pool || !this.stats) {
      return empty(t('overview.no_pool'));
    }
    return html`${pauses(pool)}${tiles(pool, this.stats)}
      <div class="columns"><div class="column wide">
        ${['requests', 'tokens', 'latency'].map((name) => html`<section class="card" aria-labelledby="chart-${name}">
          <h2 id="chart-${name}">${t(`chart.${name}`)}</h2><div data-key="${name}" data-chart="${name}" data-keep></div></section>`)}
      </div><div class="column">${states(pool)}${this.#trouble(pool)}${models(this.stats)}${rules(this.stats)}${pools()}</div></div>`;
  }

  #trouble(pool) {
    const { total, keys } = this.troubled;
    return html`<section class="card" aria-labelledby="trouble"><h2 id="trouble">${t('overview.trouble')}</h2>
      ${total ? html`<ul class="rows">${keys.map((key) => html`<li data-key="${key.id}"><a class="key" href="${address('keys', { q: key.id })}">${key.label ?? key.masked}</a>
        <span>${stateLine(key)}</span></li>`)}</ul>` : html`<p class="hint">${pool.keys.total ? t('overview.no_trouble') : t('overview.no_keys')}</p>`}
      ${total > keys.length ? html`<p><a href="${address('keys', { state: TROUBLE })}">${t('overview.all_trouble', { n: total })}</a></p>` : ''}
      ${pool.keys.total ? '' : html`<p><a href="${address('keys')}">${t('overview.add_keys')}</a></p>`}</section>`;
  }

  drawn() {
    for (const place of this.place.querySelectorAll('[data-chart]')) {
      const name = place.dataset.chart;
      if (this.charts.get(name)?.place !== place) {
        this.charts.set(name, new TimeChart(place));
      }
      if (place.stats !== this.stats) {
        place.stats = this.stats;
        this.charts.get(name).draw(chartOf(name, this.stats));
      }
    }
    document.documentElement.dataset.ready = 'overview';
  }

  close() {
    super.close();
    this.charts.forEach((chart) => chart.close());
  }
}

const pauses = (pool) => pool.upstreams.filter(({ paused_until: until }) => countdown(until)).map(({ name, paused_until: until }) => html`
  <p class="notice warn">${t('overview.paused', { name, at: clock(until), left: countdown(until) })}</p>`);

function tiles(pool, stats) {
  const list = [['rpm', number(pool.rpm)], ['tpm', compact(pool.tpm)], ['rpd', compact(pool.rpd)], ['tpd', compact(pool.tpd)],
    ['success', percent(stats.success_rate), t('tile.success.hint', { range: t(`overview.${stats.range}`) })], ['ttft', duration(pool.ttft_ms)], ['latency', duration(pool.latency_ms)],
    ['in_flight', number(pool.in_flight)]];
  return html`<dl class="tiles">${list.map(([name, value, hint = t(`tile.${name}.hint`)]) => html`<div class="tile"><dt>${t(`tile.${name}`)}</dt>
    <dd data-tile="${name}">${value}</dd><dd class="hint">${hint}</dd></div>`)}</dl>`;
}

/** A bar of all keys by state, and the numbers, which lead to the keys. */
function states(pool) {
  const { total } = pool.keys;
  let x = 0;
  const parts = STATES.filter((name) => pool.keys[name]).map((name) => {
    const width = (pool.keys[name] / total) * 100;
    x += width;
    return html`<rect class="is-${name}" x="${(x - width).toFixed(3)}" y="0" width="${width.toFixed(3)}" height="6"></rect>`;
  });
  return html`<section class="card" aria-labelledby="states"><h2 id="states">${t('overview.keys', { count: total, n: total })}</h2>
    <svg class="stack-bar" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">${parts}</svg>
    <ul class="legend">${STATES.map((name) => html`<li><a href="${address('keys', { state: name })}">${statePill(name)}</a>
      <span class="figure" data-state="${name}">${number(pool.keys[name])}</span></li>`)}</ul></section>`;
}

function models({ models: list }) {
  const whole = list.reduce((sum, model) => sum + model.total_tokens, 0);
  return html`<section class="card" aria-labelledby="models"><h2 id="models">${t('overview.models')}</h2>
    ${list.length ? html`<ul class="rows">${list.slice(0, MODELS).map((model) => html`<li><span class="name">${model.model ?? t('overview.no_model')}</span>
      <span class="figure">${compact(model.total_tokens)}</span>${share(t('overview.share', { name: model.model ?? '' }), model.total_tokens, whole)}
      <span class="hint">${t('overview.model_requests', { count: model.requests, n: model.requests, errors: model.errors })}
        ${model.estimated_tokens ? html`<span class="reason">${t('client.estimated', { n: model.estimated_tokens })}</span>` : ''}</span></li>`)}</ul>`
    : html`<p class="hint">${t('overview.no_tokens')}</p>`}</section>`;
}

function rules({ rules: list }) {
  return list.length ? html`<section class="card" aria-labelledby="rules"><h2 id="rules">${t('overview.rules')}</h2>
    <ul class="rows plain">${list.map(({ rule, attempts }) => html`<li><span><code>${rule}</code> ${t(`rule.${rule.startsWith('R') ? rule : 'own'}`)}</span>
      <span class="figure">${number(attempts)}</span></li>`)}</ul></section>` : '';
}

function pools() {
  return state.pools.length < 2 ? '' : html`<section class="card" aria-labelledby="pools"><h2 id="pools">${t('overview.pools')}</h2>
    <ul class="rows plain">${state.pools.map((pool) => html`<li>${button({ name: 'pool', value: pool.name, text: pool.name, kind: 'link', pressed: pool.name === state.pool })}
      <span class="hint">${t('overview.pool_line', { active: pool.keys.active, total: pool.keys.total, rpm: pool.rpm ?? 0 })}</span></li>`)}</ul></section>`;
}

/** What a chart shows of the statistics. */
function chartOf(name, { series }) {
  const times = series.map(({ t: at }) => at);
  const values = (field) => series.map((point) => point[field]);
  const [from, to] = timesOf([times[0], times.at(-1)]);
  const title = (text) => t('chart.about', { what: text, from, to });
  if (name === 'requests') {
    return { kind: 'bar', times, show: compact, title: title(t('chart.requests')), lines: [
      { label: t('chart.good'), ink: 'first', values: series.map(({ requests, errors, kinds }) => Math.max(0, requests - errors - kinds.client)) },
      ...Object.entries(KINDS).map(([kind, ink]) => ({ label: t(`chart.of_${kind}`), ink, values: series.map(({ kinds }) => kinds[kind]) }))] };
  }
  if (name === 'tokens') {
    return { kind: 'bar', times, show: compact, title: title(t('chart.tokens')), lines: [
      { label: t('chart.prompt'), ink: 'first', values: values('prompt_tokens') },
      { label: t('chart.completion'), ink: 'second', values: values('completion_tokens') }] };
  }
  return { kind: 'line', times, show: duration, title: title(t('chart.latency')), lines: [
    { label: t('tile.latency'), ink: 'first', values: values('latency_ms') },
    { label: t('tile.ttft'), ink: 'second', values: values('ttft_ms') }] };
}
