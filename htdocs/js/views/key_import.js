// SPDX-License-Identifier: Apache-2.0
// Import: by paste, file or drop. The page says itself what it has read, then asks the server which keys are new, then sends them,
// and tells what came of it.
import { paths, post } from '../api.js';
import { csv, download } from '../components/copy.js';
import { openDialog } from '../components/dialog.js';
import { button, choice, fault, fieldIds } from '../components/parts.js';
import { bytes } from '../format.js';
import { t } from '../i18n.js';
import { readKeys } from '../key_text.js';
import { flag, html } from '../template.js';
import { addResult, batches, checkAll, outcome, part, without } from './key_batches.js';
import { checkCounts } from './key_check.js';
import { counts, doubtList, invalidLines, keyList } from './key_preview.js';

const SIZE_MAX = 64 * 1024 * 1024;
const SHOWN_MAX = 1024 * 1024; // characters that a text area holds without getting slow
const TYPING = 150;

/** What is done at each step of the dialog. */
class Import {
  step = 'input'; // input, preview, sending, checking, result

  text = '';

  file = null; // whose text is too long to be shown

  read = readKeys('');

  error = null;

  busy = false;

  result = null; // of what was asked or sent last

  doubtful = []; // what does not look like a key: { index, line, masked, doubt }

  confirmed = new Set(); // indices of those that are added all the same

  isChecked = false; // new keys are, at the end

  checked = null; // what that has found

  chosen = this.read; // what is sent

  parts = [];

  next = 0;

  stopped = false;

  #typing = null;

  constructor(pool) {
    this.pool = pool;
    this.upstream = pool.upstreams[0]?.name ?? '';
    this.ids = fieldIds();
  }

  path(query) {
    return paths.keys(this.pool.name, { upstream: this.upstream, ...query });
  }

  /** Nothing travels here. */
  look(text, file = null) {
    clearTimeout(this.#typing);
    this.#typing = null;
    this.text = text;
    this.file = file;
    this.error = null;
    this.read = readKeys(text);
  }

  typed(dialog, area) {
    clearTimeout(this.#typing);
    this.#typing = setTimeout(() => {
      this.look(area.value);
      dialog.show();
    }, TYPING);
  }

  /** Shows the text in its field, unless it is too long for that. */
  fill(dialog) {
    dialog.show();
    dialog.element.querySelector('textarea').value = this.file ? '' : this.text;
  }

  async take(dialog, file) {
    if (!file) {
      return;
    }
    if (file.size > SIZE_MAX) {
      this.error = t('import.too_large');
      dialog.show();
      return;
    }
    const text = await file.text();
    this.look(text, text.length > SHOWN_MAX ? file : null);
    this.fill(dialog);
    dialog.element.querySelector('[type=submit]').focus();
  }

  /** Asks which keys are there already. */
  async ask(dialog, area) {
    if (this.#typing) {
      this.look(area.value);
    }
    if (!this.read.keys.length) {
      dialog.show();
      return;
    }
    this.busy = true;
    this.error = null;
    dialog.show();
    try {
      const { json, text } = part(this.read);
      const answer = await post(this.path({ preview: true }), json, { text });
      this.result = addResult(outcome(this.read), answer, this.read);
      this.doubtful = answer.doubtful.map(({ line, masked, doubt }) => ({ index: line - 1, line: this.read.lines[line - 1], masked, doubt }));
      this.confirmed.clear();
      this.step = 'preview';
    } catch (error) {
      this.error = error;
    }
    this.busy = false;
    dialog.show();
    dialog.element.querySelector('[type=submit]:not(:disabled)')?.focus();
  }

  confirm(dialog, indices, on) {
    indices.forEach((index) => (on ? this.confirmed.add(index) : this.confirmed.delete(index)));
    dialog.show();
  }

  /** Sends what has not been sent; after a failure it goes on where that was. What is in doubt has been decided by then. */
  async send(dialog) {
    if (!this.next) {
      this.result = outcome(this.read);
      this.chosen = without(this.read, new Set(this.doubtful.map(({ index }) => index).filter((index) => !this.confirmed.has(index))));
      this.parts = batches(this.chosen);
    }
    this.step = 'sending';
    this.error = null;
    this.stopped = false;
    dialog.show();
    try {
      while (this.next < this.parts.length && !this.stopped) {
        const { start, end } = this.parts[this.next];
        const { json, text } = part(this.chosen, start, end);
        this.result = addResult(this.result, await post(this.path({ doubtful: 'add' }), json, { text }), this.chosen, start);
        this.next++;
        dialog.show();
      }
      await this.check(dialog);
    } catch (error) {
      this.error = error;
    }
    this.step = 'result';
    dialog.show();
    dialog.element.querySelector('[type=submit]')?.focus();
  }

  /** Asks about the keys that are new, where that is wanted. */
  async check(dialog) {
    if (this.isChecked && this.result.ids.length && this.next === this.parts.length) {
      this.step = 'checking';
      dialog.show();
      await checkAll(this.pool.name, this.result.ids, (checked) => {
        this.checked = checked;
        dialog.show();
        return !this.stopped;
      });
    }
  }

  /** Keys are kept no longer than they are needed. */
  forget() {
    this.look('');
    this.chosen = this.read;
    this.parts = [];
  }
}

/** What the page has found by itself, and what the next step tells the server. */
function found({ read }) {
  const count = read.keys.length;
  return html`<div class="stack" role="status">${count || read.repeated || read.invalidCount ? counts([['ready', count], ['repeated', read.repeated], ['bad', read.invalidCount]]) : ''}</div>
    ${invalidLines(read, read.isJson)}
    ${count ? html`<p class="hint">${t('import.stays', { count, n: count })}</p>` : ''}
    ${window.isSecureContext ? '' : html`<p class="notice warn">${t('import.in_the_open')}</p>`}`;
}

const bodies = {
  input: (it) => html`<form data-on-submit="ask" class="stack">
    ${it.pool.upstreams.length > 1 ? choice(it.ids('upstream'), { name: 'upstream', label: t('import.upstream'), value: it.upstream, change: 'upstream', options: it.pool.upstreams.map(({ name }) => [name, name]) }) : ''}
    <div class="field"><label for="${it.ids('text')}">${t('import.text')}</label>
      <textarea id="${it.ids('text')}" rows="8" data-focus data-on-input="type" spellcheck="false" autocomplete="off" aria-describedby="${it.ids('hint')}"
        placeholder="${it.file ? t('import.from_file', { name: it.file.name, size: bytes(it.file.size) }) : ''}"></textarea>
      <p class="hint" id="${it.ids('hint')}">${t('import.hint')}</p></div>
    <div class="field"><label for="${it.ids('file')}">${t('import.file')}</label><input type="file" id="${it.ids('file')}" accept=".txt,.csv,.tsv,.json,.yaml,.yml,.env,text/plain,text/csv,application/json" data-on-change="file"></div>
    ${found(it)}${fault(it.error)}<footer>${button({ name: 'close', text: t('action.cancel') })}${button({ type: 'submit', text: it.busy ? t('state.working') : t('import.preview'), kind: 'main', disabled: it.busy || !it.read.keys.length })}</footer></form>`,
  preview: (it) => {
    const { result, read, pool, busy, error, doubtful, confirmed } = it;
    const count = result.added + confirmed.size;
    return html`<form data-on-submit="send" class="stack"><p role="status">${t('import.would', { pool: pool.name })}</p>
    ${counts([['new', result.added], ['known', result.known], ['changed', result.changed], ['repeated', result.repeated], ['bad', result.invalidCount],
    ...(doubtful.length ? [['doubtful', doubtful.length]] : [])])}
    ${doubtList(it)}${invalidLines(result, read.isJson)}${keyList(result)}
    <label class="tick"><input type="checkbox" data-on-change="check"${flag('checked', it.isChecked)}> ${t('import.check')}</label>${fault(error)}
    <footer>${button({ name: 'back', text: t('action.back') })}<span class="fill"></span>${button({ type: 'submit', kind: 'main',
  text: t('import.go', { count, n: count }), disabled: busy || !(count + result.changed) })}</footer></form>`;
  },
  sending: ({ parts, next, chosen }) => {
    const done = next ? parts[next - 1].end : 0;
    return html`<div class="stack"><p role="status">${t('import.progress', { done, whole: chosen.keys.length })}</p><progress max="${chosen.keys.length}" value="${done}" aria-label="${t('import.title')}"></progress>
      <footer>${button({ name: 'stop', text: t('action.stop') })}</footer></div>`;
  },
  checking: ({ checked, result }) => html`<div class="stack"><p role="status">${t('import.checking', { done: checked?.done ?? 0, whole: result.ids.length })}</p>
    <progress max="${result.ids.length}" value="${checked?.done ?? 0}" aria-label="${t('import.check')}"></progress>
    ${checkCounts(checked)}<footer>${button({ name: 'stop', text: t('action.stop') })}</footer></div>`,
  result: ({ result, read, error, parts, next, checked }) => html`<form data-on-submit="${next < parts.length ? 'send' : 'close'}" class="stack">
    <p role="status">${t(next < parts.length ? 'import.part' : 'import.done')}</p>${fault(error)}
    ${counts([['added', result.added], ['known', result.known], ['changed', result.changed], ['repeated', result.repeated], ['bad', result.invalidCount]])}
    ${checked ? html`<p>${t('import.checked', { done: checked.done, whole: result.ids.length })}</p>${checkCounts(checked)}` : ''}
    ${invalidLines(result, read.isJson)}<footer>${next < parts.length ? button({ name: 'close', text: t('action.close') }) : ''}
    ${button({ type: 'submit', text: t(next < parts.length ? 'import.continue' : 'action.close'), kind: 'main' })}</footer></form>`,
};

/** Lets a file be dropped anywhere on the dialog. */
function acceptDrops(dialog, it) {
  const { element } = dialog;
  const mark = (on) => element.classList.toggle('dropping', on);
  element.addEventListener('dragover', (event) => {
    event.preventDefault();
    mark(it.step === 'input');
  });
  element.addEventListener('dragleave', () => mark(false));
  element.addEventListener('drop', (event) => {
    const [file] = event.dataTransfer.files;
    mark(false);
    if (file) {
      event.preventDefault();
      if (it.step === 'input') {
        it.take(dialog, file);
      }
    }
  });
}

/** Resolves with whether keys may have been added. */
export async function openImport(pool) {
  const it = new Import(pool);
  const faults = () => (it.step === 'input' ? it.read : it.result).invalid;
  const dialog = openDialog({
    title: () => t('import.title_pool', { pool: pool.name }),
    body: () => bodies[it.step](it),
    kind: 'large',
    leave: () => it.step !== 'sending' && it.step !== 'checking',
    handlers: {
      upstream: (self, select) => {
        it.upstream = select.value;
      },
      type: (self, area) => it.typed(self, area),
      file: (self, input) => it.take(self, input.files[0]),
      ask: (self, form) => it.ask(self, form.querySelector('textarea')),
      back: (self) => {
        it.step = 'input';
        it.fill(self);
      },
      send: (self) => it.send(self),
      confirm: (self, box) => it.confirm(self, [Number(box.value)], box.checked),
      confirmAll: (self, box) => it.confirm(self, it.doubtful.map(({ index }) => index), box.checked),
      check: (self, box) => {
        it.isChecked = box.checked;
      },
      stop: () => {
        it.stopped = true;
      },
      save: () => download(`${pool.name}-invalid.csv`, 'text/csv', csv([['line', 'reason'], ...faults().map(({ line, reason }) => [line, reason])])),
    },
  });
  acceptDrops(dialog, it);
  await dialog.done;
  const changed = it.step === 'result' && it.result.added + it.result.changed > 0;
  it.forget();
  return changed;
}
