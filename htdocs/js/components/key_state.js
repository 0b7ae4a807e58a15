// SPDX-License-Identifier: Apache-2.0
// The state of a key in words: why, and until when.
import { clock, countdown, moneys, time } from '../format.js';
import { hasText, t } from '../i18n.js';
import { html } from '../template.js';

export const STATES = ['active', 'cooling', 'half_open', 'quota', 'invalid', 'tripped', 'disabled', 'orphaned'];

/** What a rule of the verdicts means. */
export const ruleText = (rule) => (hasText(`rule.${rule}`) ? t(`rule.${rule}`) : t('rule.own'));

const probe = (key) => {
  const left = key.next_probe_at && countdown(key.next_probe_at);
  return left ? t('reason.probe', { at: clock(key.next_probe_at) }) : '';
};

/** What made it leave the rotation: a rule, or something of the pool's own. */
const because = ({ reason_code: code, account }) => (!code || code === 'balance' ? '' : hasText(`reason.${code}`) ? t(`reason.${code}`, { name: account ?? '' }) : ruleText(code));

/** What is told of a state beside its name, in parts. */
const reasons = {
  active: () => [],
  disabled: () => [],
  orphaned: (key) => [t('reason.orphaned', { upstream: key.upstream })],
  half_open: () => [t('reason.half_open')],
  cooling: (key) => [countdown(key.cooling_until) ?? t('reason.over'), because(key)],
  quota: (key) => [key.balance ? t('reason.balance', { money: moneys(key.balance.amounts) }) : because(key), probe(key)],
  invalid: (key) => [key.last_error?.status ? t('reason.status', { status: String(key.last_error.status) }) : because(key), probe(key)],
  tripped: (key) => [t('reason.streak', { n: key.consecutive_errors, what: String(key.last_error?.status ?? t('reason.no_answer')) }), probe(key)],
};

/** "12 s, too many requests", or "". */
export const reasonOf = (key) => reasons[key.state](key).filter(Boolean).join(t('list.clause'));

export const statePill = (state) => html`<span class="pill is-${state}">${t(`state.${state}`)}</span>`;

/** The state with its reason. */
export function stateLine(key) {
  const reason = reasonOf(key);
  return html`${statePill(key.state)}${reason ? html`<span class="reason">${reason}</span>` : ''}`;
}

/** The vendor's own words: "1113: in arrears", or "". */
export const vendorText = (vendor) => [vendor?.code ?? vendor?.type, vendor?.message].filter(Boolean).join(': ');

/** "429 R07: too many requests", when, and the vendor's own words. */
export function lastError(key) {
  const error = key.last_error;
  if (!error) {
    return null;
  }
  const what = [error.status ?? t('reason.no_answer'), error.rule].filter(Boolean).join(' ');
  return { text: t('list.of', { name: what, value: error.rule ? ruleText(error.rule) : '' }), when: time(error.at), words: vendorText(error.vendor) };
}
