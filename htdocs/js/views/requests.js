// SPDX-License-Identifier: Apache-2.0
// The last requests, each with the keys that it tried and what was made of their answers.
import { get } from '../api.js';
import { ruleText, vendorText } from '../components/key_state.js';
import { icon } from '../components/icons.js';
import { button, choice, empty } from '../components/parts.js';
import { duration, NONE, number, time } from '../format.js';
import { t } from '../i18n.js';
import { address, note } from '../router.js';
import { currentPool, state, takePools } from '../state.js';
import { flag, html } from '../template.js';
import { View } from '../view.js';

const SHOWN = 100;
const MOST = 1000;
const EVERY = 2000;
const FILTERS = ['client', 'model', 'status'];

/** The filters of status: what stands in the address, and which requests it means. */
const STATUSES = {
  '2xx': ({ status }) => status >= 200 && status < 300,
  '4xx': ({ status }) => status >= 400 && status < 500,
  429: ({ status }) => status === 429,
  '5xx': ({ status }) => status >= 500,
  rotated: ({ attempts }) => attempts > 1,
  broken: ({ outcome }) => outcome !== 'complete',
};

export class Requests extends View {
  requests = [];

  unfolded = new Set();

  seen = { client: new Set(), model: new Set() }; // what can be filtered by

  count = SHOWN;

  loadedAt = 0;

  loadedRequests = -1;

  constructor(place, name, params) {
    super(place, name, params);
    this.filter = Object.fromEntries(FILTERS.map((key) => [key, params.get(key) ?? '']));
    this.handle({
      filter: (element) => this.#choose({ [element.name]: element.value }),
      clear: () => this.#choose({ client: '', model: '', status: '' }),
      unfold: (element) => this.#unfold(Number(element.dataset.value)),
      more: () => {
        this.count += SHOWN;
        this.load();
      },
    });
  }

  #isFiltered() {
    return FILTERS.some((key) => this.filter[key]);
  }

  async fetch(isCurrent) {
    if (!state.pools) {
      takePools((await get('pools')).pools);
    }
    this.loadedAt = Date.now();
    this.loadedRequests = currentPool()?.requests;
    const limit = this.#isFiltered() || !this.ready ? MOST : Math.min(MOST, this.count);
    const query = new URLSearchParams({ limit, ...(state.pool ? { pool: state.pool } : {}) });
    const { requests } = await get(`requests?${query}`);
    if (isCurrent()) {
      this.requests = requests;
      Object.entries(this.seen).forEach(([key, names]) => requests.forEach((request) => request[key] && names.add(request[key])));
    }
  }

  refresh() {
    if (this.ready && currentPool()?.requests !== this.loadedRequests && Date.now() - this.loadedAt > EVERY) {
      this.load();
    }
  }

  #choose(changes) {
    Object.assign(this.filter, changes);
    note('requests', this.filter);
    this.show();
    this.load();
  }

  #unfold(number_) {
    if (!this.unfolded.delete(number_)) {
      this.unfolded.add(number_);
    }
    this.show();
  }

  #matching() {
    const { client, model, status } = this.filter;
    return this.requests.filter((request) => (!client || request.client === client) && (!model || request.model === model)
      && (!status || STATUSES[status]?.(request)));
  }

  content() {
    const list = this.#matching();
    const shown = list.slice(0, this.count);
    if (!this.requests.length) {
      return empty(t('requests.none'));
    }
    const isMore = list.length > shown.length || (!this.#isFiltered() && this.requests.length >= this.count && this.count < MOST);
    return html`${this.#tools()}${shown.length ? html`<div class="scroll card flush" tabindex="0" role="group" aria-label="${t('requests.title')}"><table role="table" class="cards requests">
      <thead role="rowgroup"><tr role="row"><th role="columnheader" scope="col"><span class="unseen">${t('requests.unfold')}</span></th>
        ${['time', 'client', 'model', 'status', 'attempts', 'tokens', 'ttft', 'latency'].map((name) => html`<th role="columnheader" scope="col">${t(`request.${name}`)}</th>`)}</tr></thead>
      <tbody role="rowgroup">${shown.map((request) => requestRows(request, this.unfolded.has(request.number)))}</tbody></table></div>`
      : empty(t('requests.none_match'), button({ name: 'clear', text: t('requests.clear') }))}
      ${isMore ? html`<p>${button({ name: 'more', text: t('requests.more') })}</p>` : ''}`;
  }

  #tools() {
    const values = (key) => [...new Set([...this.seen[key], ...(this.filter[key] ? [this.filter[key]] : [])])].sort();
    const select = (key, options) => choice(`filter-${key}`, { name: key, label: t(`request.${key}`), value: this.filter[key], change: 'filter',
      options: [['', t('requests.any')], ...options] });
    return html`<div class="tools">${select('client', values('client').map((name) => [name, name]))}
      ${select('model', values('model').map((name) => [name, name]))}
      ${select('status', Object.keys(STATUSES).map((name) => [name, t(`status.${name}`)]))}</div>`;
  }
}

const kindOf = ({ status, outcome }) => (status === null || status >= 500 || outcome === 'truncated' ? 'bad' : status >= 400 ? 'warn' : 'good');

/** Why a request did not go well: how it ended, and what the last answer was taken for. */
const reasonOf = ({ status, outcome, tried }) => [outcome && outcome !== 'complete' && t(`outcome.${outcome}`),
  (status === null || status >= 400) && tried.length && ruleText(tried.at(-1).rule)].filter(Boolean);

function requestRows(request, isOpen) {
  const id = `attempts-${request.number}`;
  const cell = (name, content, kind = '') => html`<td role="cell" class="${kind}" data-label="${t(`request.${name}`)}">${content}</td>`;
  const tokens = request.total_tokens === null ? NONE : html`${number(request.total_tokens)}${request.usage === 'estimated' ? html` <span class="hint">${t('request.estimated')}</span>` : ''}`;
  return html`<tr role="row" data-key="r${request.number}"><td role="cell" class="box"><button type="button" class="button quiet twist" data-on-click="unfold" data-value="${request.number}"
      aria-expanded="${isOpen ? 'true' : 'false'}" aria-controls="${id}" aria-label="${t('requests.unfold_one', { at: time(request.at) })}">${icon('more')}</button></td>
    ${cell('time', html`<time datetime="${request.at}">${time(request.at)}</time>`)}
    ${cell('client', request.client ?? NONE)}
    ${cell('model', html`${request.model ?? NONE}${request.endpoint ? html`<span class="reason">${request.endpoint}${request.streamed ? html` · ${t('request.streamed')}` : ''}</span>` : ''}`)}
    ${cell('status', html`<span class="pill is-${kindOf(request)}">${request.status ?? NONE}</span>${reasonOf(request).map((text) => html`<span class="reason">${text}</span>`)}`)}
    ${cell('attempts', number(request.attempts), 'figure')}${cell('tokens', tokens, 'figure')}
    ${cell('ttft', duration(request.ttft_ms), 'figure')}${cell('latency', duration(request.latency_ms), 'figure')}</tr>
  <tr role="row" class="unfolded" data-key="a${request.number}" id="${id}"${flag('hidden', !isOpen)}><td role="cell" colspan="9">${isOpen ? attempts(request) : ''}</td></tr>`;
}

function attempts(request) {
  const rest = request.attempts - request.tried.length;
  return html`<ol class="attempts">${request.tried.map(({ key, upstream, rule, vendor }) => html`<li><code>${rule ?? NONE}</code> <span>${rule ? ruleText(rule) : ''}</span>
      <span class="hint">${upstream ?? ''}</span>${key ? html`<a href="${address('keys', { q: key })}"><code>${key}</code></a>` : ''}${vendorText(vendor) ? html`<span class="reason">${vendorText(vendor)}</span>` : ''}</li>`)}</ol>
    ${request.tried.length ? '' : html`<p class="hint">${t('requests.no_attempts')}</p>`}${rest > 0 && request.tried.length ? html`<p class="hint">${t('requests.more_attempts', { n: rest })}</p>` : ''}
    <p class="hint">${t('request.token_line', { prompt: number(request.prompt_tokens), completion: number(request.completion_tokens), cached: number(request.cached_tokens) })}</p>`;
}
