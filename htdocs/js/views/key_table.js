// SPDX-License-Identifier: Apache-2.0
// How the list of keys looks: what is above it, its rows, and the pages.
import { lastError, STATES, stateLine } from '../components/key_state.js';
import { icon } from '../components/icons.js';
import { button, choice, empty, gauge } from '../components/parts.js';
import { ago, moneys, NONE, number, percent, time } from '../format.js';
import { t } from '../i18n.js';
import { isAdmin } from '../state.js';
import { flag, html } from '../template.js';

export const SIZES = [50, 100, 200];

const WINDOWS = ['rpm', 'tpm', 'rpd', 'tpd'];

/** Columns, in order, and what each is sorted by. */
const COLUMNS = [['key', 'label'], ['upstream', 'upstream'], ['state', 'state'], ['success', 'success_rate'],
  ...WINDOWS.map((name) => [name, name]), ['balance', 'balance'], ['used', 'last_used_at'], ['errors', 'errors']];

const SORTS = ['added_at', 'id', 'account', 'weight', 'requests', 'consecutive_errors', 'in_flight', 'total_tokens', 'latency_ms',
  ...COLUMNS.map(([, sort]) => sort)];

/** The upstream is told only where there are several. */
const columnsOf = (pool) => COLUMNS.filter(([name]) => name !== 'upstream' || pool.upstreams.length > 1);

export function keyFilters(view, pool) {
  const { q, state, upstream, sort, order } = view.query;
  const chosen = state.split(',').filter(Boolean);
  const chip = (name, text, count) => html`<button type="button" class="chip" data-on-click="state" data-value="${name}"
    aria-pressed="${(name ? chosen.includes(name) : !chosen.length) ? 'true' : 'false'}">${text} <span class="figure">${number(count)}</span></button>`;
  return html`<div class="tools">
    <div class="field search"><label class="unseen" for="key-search">${t('keys.search')}</label>${icon('search')}
      <input id="key-search" type="search" value="${q}" placeholder="${t('keys.search')}" data-on-input="search" autocomplete="off"></div>
    ${pool.upstreams.length > 1 ? choice('key-upstream', { name: 'upstream', label: t('keys.upstream'), value: upstream, change: 'upstream', hidden: true,
    options: [['', t('keys.any_upstream')], ...pool.upstreams.map(({ name }) => [name, name])] }) : ''}
    ${choice('key-sort', { name: 'sort', label: t('keys.sort'), value: sort, change: 'sortBy', hidden: true,
    options: SORTS.map((name) => [name, t('keys.sort_by', { what: t(`sort.${name}`) })]) })}
    ${button({ name: 'order', text: t(`keys.${order}`), pressed: order === 'desc' })}
    <span class="fill"></span>
    ${button({ name: 'export', text: t('keys.export'), icon: 'down' })}
    ${isAdmin() ? button({ name: 'import', text: t('keys.import'), icon: 'plus', kind: 'main' }) : ''}</div>
    <div class="chips" role="group" aria-label="${t('keys.by_state')}">${chip('', t('keys.any_state'), pool.keys.total)}
      ${STATES.map((name) => chip(name, t(`state.${name}`), pool.keys[name]))}</div>`;
}

/** What can be done with those that are chosen. */
export function keySelection(view) {
  const count = view.chosen();
  if (!count) {
    return '';
  }
  const more = !view.allMatching && view.list.total > count;
  return html`<div class="selection" role="region" aria-label="${t('keys.selection')}"><strong role="status">${t('keys.selected', { count, n: count })}</strong>
    ${more ? button({ name: 'selectAll', text: t('keys.select_all', { n: view.list.total }), kind: 'link' }) : ''}
    <span class="fill"></span>
    ${isAdmin() ? ['enable', 'disable', 'check', 'reset', 'move'].map((action) => button({ name: 'many', value: action, text: t(`action.${action}`) })) : ''}
    ${isAdmin() ? button({ name: 'many', value: 'delete', text: t('action.delete'), kind: 'danger' }) : ''}
    ${button({ name: 'copy', text: t('keys.copy'), icon: 'copy' })}
    ${button({ name: 'selectNone', label: t('keys.select_none'), icon: 'close', kind: 'quiet' })}</div>`;
}

function head(view, pool) {
  const { sort, order } = view.query;
  const all = view.list.keys.length > 0 && view.list.keys.every(({ id }) => view.selected.has(id));
  return html`<tr role="row"><th role="columnheader" scope="col" class="box"><input type="checkbox" data-on-change="selectPage" aria-label="${t('keys.select_page')}"${flag('checked', all || view.allMatching)}></th>
    ${columnsOf(pool).map(([name, by]) => html`<th role="columnheader" scope="col"${sort === by ? html` aria-sort="${order === 'asc' ? 'ascending' : 'descending'}"` : ''}>
      <button type="button" data-on-click="sort" data-value="${by}">${t(`column.${name}`)}</button></th>`)}
    <th role="columnheader" scope="col"><span class="unseen">${t('column.actions')}</span></th></tr>`;
}

/** A cell; its column's name stands in it where a row is a card. */
const cell = (name, content, kind = '') => html`<td role="cell" class="is-${name} ${kind}" data-label="${t(`column.${name}`)}">${content}</td>`;

function actions(key, busy) {
  const name = key.label ?? key.masked;
  const one = (action, shape, text) => button({ name: action, icon: shape, label: text, kind: 'quiet', disabled: busy });
  return html`${one('check', 'check', t('keys.check_one', { key: name }))}
    ${one('toggle', key.enabled ? 'pause' : 'play', t(key.enabled ? 'keys.disable_one' : 'keys.enable_one', { key: name }))}
    ${one('open', 'edit', t('keys.edit_one', { key: name }))}${one('remove', 'remove', t('keys.delete_one', { key: name }))}`;
}

function row(view, pool, key, canChange) {
  const error = lastError(key);
  const isOn = view.allMatching || view.selected.has(key.id);
  const busy = view.busy.has(key.id);
  const second = [key.label && key.masked, key.account].filter(Boolean).join(' · ');
  return html`<tr role="row" data-key="${key.id}" data-id="${key.id}" aria-busy="${busy ? 'true' : 'false'}"${isOn ? html` class="on"` : ''}>
    <td role="cell" class="box"><input type="checkbox" data-on-change="select" value="${key.id}" aria-label="${t('keys.select_one', { key: key.label ?? key.masked })}"${flag('checked', isOn)}></td>
    ${cell('key', html`<button type="button" class="key" data-on-click="open">${key.label ?? key.masked}</button>${second ? html`<span class="reason" title="${second}">${second}</span>` : ''}`)}
    ${pool.upstreams.length > 1 ? cell('upstream', key.upstream ?? NONE) : ''}${cell('state', stateLine(key))}${cell('success', percent(key.success_rate), 'figure')}
    ${WINDOWS.map((name) => cell(name, gauge(t(`column.${name}`), key[name], key.limits_in_force[name])))}
    ${cell('balance', key.balance ? html`<span title="${time(key.balance.checked_at)}">${moneys(key.balance.amounts)}</span>` : NONE, 'figure')}
    ${cell('used', key.last_used_at ? html`<time datetime="${key.last_used_at}" title="${time(key.last_used_at)}">${ago(key.last_used_at)}</time>` : NONE)}
    ${cell('errors', html`<span class="figure">${number(key.errors)}</span>${error ? html`<span class="reason" title="${error.when}">${error.text}</span>` : ''}`)}
    <td role="cell" class="actions">${canChange ? actions(key, busy) : ''}</td></tr>`;
}

export function keyTable(view, pool, canChange) {
  const { keys } = view.list;
  if (!keys.length) {
    return pool.keys.total ? empty(t('keys.none_match'), button({ name: 'clear', text: t('keys.clear') }))
      : empty(t('keys.none'), canChange ? button({ name: 'import', text: t('keys.import'), icon: 'plus', kind: 'main' }) : '');
  }
  return html`<div class="scroll card flush" tabindex="0" role="group" aria-label="${t('keys.title')}"><table role="table" class="cards keys" aria-rowcount="${view.list.total}">
    <thead role="rowgroup">${head(view, pool)}</thead><tbody role="rowgroup">${keys.map((key) => row(view, pool, key, canChange))}</tbody></table></div>`;
}

export function keyPager(view) {
  const { total, offset, keys } = view.list;
  const last = Math.max(0, Math.floor((total - 1) / view.size) * view.size);
  const page = (text, to, off) => button({ name: 'page', value: to, text, disabled: off });
  return total ? html`<div class="pager" role="navigation" aria-label="${t('keys.pages')}">
    <span role="status">${t('keys.range', { from: offset + 1, to: offset + keys.length, total })}</span><span class="fill"></span>
    ${choice('page-size', { name: 'size', label: t('keys.size'), value: String(view.size), change: 'size', hidden: true, options: SIZES.map((n) => [String(n), t('keys.per_page', { n })]) })}
    ${page(t('keys.first'), 0, !offset)}${page(t('keys.previous'), Math.max(0, offset - view.size), !offset)}
    ${page(t('keys.next'), offset + view.size, offset >= last)}${page(t('keys.last'), last, offset >= last)}</div>` : '';
}
