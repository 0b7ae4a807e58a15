// SPDX-License-Identifier: Apache-2.0
// Masked lists of keys: to the clipboard, or as a CSV file.
import { listKeys } from '../api.js';
import { copy, csv, download } from '../components/copy.js';
import { openDialog } from '../components/dialog.js';
import { fault } from '../components/parts.js';
import { t } from '../i18n.js';
import { html } from '../template.js';

const PAGE = 1000;

const COLUMNS = ['id', 'masked', 'label', 'account', 'upstream', 'state', 'enabled', 'weight', 'success_rate', 'requests', 'successes',
  'errors', 'consecutive_errors', 'rpm', 'rpd', 'tpm', 'tpd', 'prompt_tokens', 'completion_tokens', 'cached_tokens', 'total_tokens', 'estimated_tokens',
  'ttft_ms', 'latency_ms', 'added_at', 'last_used_at', 'cooling_until', 'next_probe_at'];

const MORE = { balance: (key) => key.balance?.amount, currency: (key) => key.balance?.currency, last_error_at: (key) => key.last_error?.at,
  last_error_status: (key) => key.last_error?.status, last_error_rule: (key) => key.last_error?.rule };

const rowOf = (key) => [...COLUMNS.map((name) => key[name]), ...Object.values(MORE).map((value) => value(key))];

/** All keys that match, page by page; tell(done, total) may say false to stop. */
async function all(pool, filter, tell) {
  const keys = [];
  for (let total = 1; keys.length < total;) {
    const page = await listKeys(pool, { ...filter, sort: 'id', offset: keys.length, limit: PAGE });
    total = page.total;
    keys.push(...page.keys);
    if (!page.keys.length || !tell(keys.length, total)) {
      break;
    }
  }
  return keys;
}

/** The keys that are meant, with a dialog while many are fetched; null: left. */
export async function gather(pool, target, chosen) {
  if (target.ids) {
    return chosen;
  }
  let progress = [0, 1];
  let error = null;
  let isOpen = true;
  const dialog = openDialog({
    title: () => t('keys.gather'),
    body: () => html`<p role="status">${t('export.progress', { done: progress[0], whole: progress[1] })}</p>
      <progress max="${progress[1]}" value="${progress[0]}" aria-label="${t('keys.gather')}"></progress>${fault(error)}`,
    kind: 'small',
  });
  dialog.done.then(() => {
    isOpen = false;
  });
  try {
    const keys = await all(pool, target.filter, (...now) => {
      progress = now;
      if (isOpen) {
        dialog.show();
      }
      return isOpen;
    });
    if (!isOpen) {
      return null;
    }
    dialog.close();
    return keys;
  } catch (problem) {
    error = problem;
    dialog.show();
    return null;
  }
}

export async function exportKeys(pool, target, chosen) {
  const keys = await gather(pool, target, chosen);
  if (keys) {
    download(`${pool}-keys.csv`, 'text/csv;charset=utf-8', csv([[...COLUMNS, ...Object.keys(MORE)], ...keys.map(rowOf)]));
  }
}

/** One masked key a line, with its id and label. */
export async function copyKeys(pool, target, chosen) {
  const keys = await gather(pool, target, chosen);
  if (keys) {
    const lines = keys.map(({ masked, id, label }) => [masked, id, label].filter(Boolean).join('\t'));
    await copy(lines.join('\n'), t('copy.keys', { count: keys.length, n: keys.length }));
  }
}
