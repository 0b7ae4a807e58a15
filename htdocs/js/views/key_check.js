// SPDX-License-Identifier: Apache-2.0
// The check of many keys: asked about first, with progress, and with what it found at the end.
import { openDialog } from '../components/dialog.js';
import { button } from '../components/parts.js';
import { t } from '../i18n.js';
import { html } from '../template.js';
import { checkAll } from './key_batches.js';
import { gather } from './key_export.js';
import { counts } from './key_preview.js';

/** What a check has found so far. */
export const checkCounts = (checked) => counts(['usable', 'spent', 'refused', 'not_told'].map((name) => [`check_${name}`, checked?.[name] ?? 0]));

const bodies = {
  ask: ({ text }) => html`<form data-on-submit="go" class="stack"><p>${text}</p><p class="hint">${t('about.check')}</p>
    <footer>${button({ name: 'close', text: t('action.cancel') })}${button({ type: 'submit', text: t('action.check'), kind: 'main' })}</footer></form>`,
  checking: ({ checked, whole }) => html`<div class="stack"><p role="status">${t('many.checking', { done: checked?.done ?? 0, whole })}</p>
    <progress max="${whole}" value="${checked?.done ?? 0}" aria-label="${t('action.check')}"></progress>${checkCounts(checked)}
    <footer>${button({ name: 'stop', text: t('action.stop') })}</footer></div>`,
  result: ({ checked, whole }) => html`<form data-on-submit="close" class="stack"><p role="status">${t('many.checked', { done: checked?.done ?? 0, whole })}</p>${checkCounts(checked)}
    <footer>${button({ type: 'submit', text: t('action.close'), kind: 'main' })}</footer></form>`,
};

/** Each key is a request of its own, so that none takes long. Resolves with whether any was checked. */
export async function checkMany({ pool, target, keys, count }, text) {
  const it = { step: 'ask', text, whole: count, checked: null, stopped: false };
  const go = async (dialog) => {
    const found = await gather(pool, target, keys);
    if (!found) {
      return;
    }
    it.whole = found.length;
    it.step = 'checking';
    dialog.show();
    await checkAll(pool, found.map(({ id }) => id), (checked) => {
      it.checked = checked;
      dialog.show();
      return !it.stopped;
    });
    it.step = 'result';
    dialog.show();
    dialog.element.querySelector('[type=submit]')?.focus();
  };
  const stop = () => {
    it.stopped = true;
  };
  await openDialog({ title: () => t('many.check', { count: it.whole, n: it.whole }), body: () => bodies[it.step](it),
    kind: 'small', leave: () => it.step !== 'checking', handlers: { go, stop } }).done;
  return it.checked !== null;
}
