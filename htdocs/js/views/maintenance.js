// SPDX-License-Identifier: Apache-2.0
// A pool that serves nobody: what all views say of it, and the switch of its maintenance.
import { patchJson, paths } from '../api.js';
import { confirm, openDialog } from '../components/dialog.js';
import { say } from '../components/news.js';
import { button, errorText, fault, field, fieldIds } from '../components/parts.js';
import { time } from '../format.js';
import { t } from '../i18n.js';
import { isAdmin } from '../state.js';
import { html } from '../template.js';
import { localTime } from './client_dialog.js';

/** What keeps a pool from serving, or from being saved. The fault is told as the server's log has it. */
export const outages = (pool) => (pool ? html`${pool.fault ? html`<p class="notice bad" role="alert" data-outage="fault">
    <strong>${t('pool.fault')}</strong> <span lang="en">${pool.fault}</span></p>` : ''}
  ${pool.maintenance ? html`<p class="notice warn" data-outage="maintenance"><strong>${describe(pool)}</strong>${pool.maintenance.message ? html` ${pool.maintenance.message}` : ''}</p>` : ''}` : '');

const describe = ({ name, maintenance: { until } }) => (until
  ? t('maintenance.until_then', { name, at: time(until) }) : t('maintenance.on', { name }));

/** The switch, for those who may use it. */
export const maintenanceSwitch = (pool) => (isAdmin() ? html`<p class="row">
  ${button({ name: 'maintain', value: pool.name, text: t(pool.maintenance ? 'maintenance.change' : 'maintenance.begin') })}
  ${pool.maintenance ? button({ name: 'serve', value: pool.name, text: t('maintenance.end'), kind: 'main' }) : ''}</p>` : '');

const set = (pool, maintenance) => patchJson(paths.pool(pool.name), { maintenance });

function readForm(element) {
  const data = new FormData(element);
  return { until: data.get('until') ? new Date(data.get('until')).toISOString() : null, message: data.get('message').trim() || null };
}

/** Begins or changes the maintenance; resolves with whether that was done. */
export async function maintain(pool) {
  const ids = fieldIds();
  let it = { error: null, busy: false, wanted: pool.maintenance ?? {} };
  const wrong = (name) => (it.error?.field === `maintenance.${name}` ? errorText(it.error) : '');
  const saved = await openDialog({
    title: () => t(pool.maintenance ? 'maintenance.change_one' : 'maintenance.begin_one', { name: pool.name }),
    body: () => html`<form data-on-submit="save" class="stack"><p>${t('maintenance.about')}</p>
      ${field(ids('until'), { name: 'until', type: 'datetime-local', label: t('maintenance.until'), hint: t('maintenance.until_hint'), error: wrong('until'), value: it.wanted.until ? localTime(it.wanted.until) : '' })}
      ${field(ids('message'), { name: 'message', label: t('maintenance.message'), hint: t('maintenance.message_hint'), error: wrong('message'), value: it.wanted.message, attributes: html` maxlength="255"` })}
      ${fault(it.error && !it.error.field ? it.error : null)}
      <footer>${button({ name: 'close', text: t('action.cancel') })}
      ${button({ type: 'submit', text: t(pool.maintenance ? 'action.save' : 'maintenance.begin'), kind: 'main', disabled: it.busy })}</footer></form>`,
    handlers: {
      save: async (self, element) => {
        it = { error: null, busy: true, wanted: readForm(element) };
        self.show();
        try {
          self.close(await set(pool, it.wanted));
        } catch (error) {
          it = { ...it, error, busy: false };
          self.show();
        }
      },
    },
  }).done;
  if (saved) {
    say(t('maintenance.on', { name: pool.name }));
  }
  return Boolean(saved);
}

/** Ends it; resolves with whether that was done. */
export async function serve(pool) {
  const ended = await confirm({ title: t('maintenance.end'), text: t('maintenance.end_one', { name: pool.name }), verb: t('maintenance.end'), kind: 'main', work: () => set(pool, null) });
  if (ended) {
    say(t('maintenance.off', { name: pool.name }));
  }
  return Boolean(ended);
}
