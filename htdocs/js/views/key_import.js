// SPDX-License-Identifier: Apache-2.0
// Import: by paste, file or drop. The page says itself what it has read, then asks the server which keys are new, then sends them,
// and tells what came of it.
import { paths, post } from '../api.js';
import { csv, download } from '../components/copy.js';
import { openDialog } from '../components/dialog.js';
import { button, choice, fault, fieldIds } from '../components/parts.js';
import { bytes, number } from '../format.js';
import { t } from '../i18n.js';
import { readKeys } from '../key_text.js';
import { html } from '../template.js';
import { addResult, batches, outcome, part } from './key_batches.js';

const LISTED = 100;
const SIZE_MAX = 64 * 1024 * 1024;
const SHOWN_MAX = 1024 * 1024; // characters that a text area holds without getting slow
const TYPING = 150;

/** The server's reasons, and the names of our texts for them. */
const REASONS = {
  'empty key': 'empty',
  'key longer than 4096 bytes': 'long',
  'control character in a key': 'control',
  'blank inside a key (keys are separated by commas or newlines)': 'blank',
  'quote in a key': 'quote',
  'character outside ASCII in a key (was it copied in its masked form?)': 'ascii',
  'neither a string nor an object': 'element',
  'object without a string "key"': 'object',
  'a JSON object; an array of keys is needed': 'array',
  'malformed JSON': 'json',
  'JSON that is nested too deeply, or has too many values': 'excess',
  '"enabled" is neither true nor false': 'enabled',
  '"weight" is not a whole number from 1 to 1000': 'weight',
  '"account" is not a string of at most 64 bytes without control characters': 'account',
  '"label" is not a string of at most 120 bytes without control characters': 'label',
  '"limits" is not an object of whole numbers above 0': 'limits',
};

const reasonText = (reason) => (reason in REASONS ? t(`fault.${REASONS[reason]}`) : reason);

/** What is done at each step of the dialog. */
class Import {
  step = 'input'; // input, preview, sending, result

  text = '';

  file = null; // whose text is too long to be shown

  read = readKeys('');

  error = null;

  busy = false;

  result = null; // of what was asked or sent last

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
      this.result = addResult(outcome(this.read), await post(this.path({ preview: true }), json, { text }), this.read);
      this.parts = batches(this.read);
      this.step = 'preview';
    } catch (error) {
      this.error = error;
    }
    this.busy = false;
    dialog.show();
    dialog.element.querySelector('[type=submit]:not(:disabled)')?.focus();
  }

  /** Sends what has not been sent; after a failure it goes on where that was. */
  async send(dialog) {
    if (!this.next) {
      this.result = outcome(this.read);
    }
    this.step = 'sending';
    this.error = null;
    this.stopped = false;
    dialog.show();
    try {
      while (this.next < this.parts.length && !this.stopped) {
        const { start, end } = this.parts[this.next];
        const { json, text } = part(this.read, start, end);
        this.result = addResult(this.result, await post(this.path({}), json, { text }), this.read, start);
        this.next++;
        dialog.show();
      }
    } catch (error) {
      this.error = error;
    }
    this.step = 'result';
    dialog.show();
    dialog.element.querySelector('[type=submit]')?.focus();
  }

  /** Keys are kept no longer than they are needed. */
  forget() {
    this.look('');
    this.parts = [];
  }
}

const counts = (list) => html`<dl class="counts">${list.map(([name, value]) => html`<div class="${name}"><dt>${t(`import.${name}`)}</dt><dd data-count="${name}">${number(value)}</dd></div>`)}</dl>`;

/** Elements of an array are counted by themselves, but not where that array cannot be read. */
const whereText = ({ line, reason }, isArray) => t(isArray && reason !== 'malformed JSON' ? 'import.element' : 'import.line', { n: line });

const invalidLines = ({ invalid, invalidCount }, isArray) => (invalidCount ? html`<details class="invalid" open><summary>${t('import.invalid_lines', { n: invalidCount })}</summary>
  <ul class="rows plain scroll" tabindex="0">${invalid.slice(0, LISTED).map((one) => html`<li><span>${whereText(one, isArray)}</span><span>${reasonText(one.reason)}</span></li>`)}</ul>
  ${invalidCount > LISTED ? html`<p class="hint">${t('import.more', { n: invalidCount - LISTED })}</p>` : ''}${button({ name: 'save', text: t('import.save_invalid'), icon: 'down' })}</details>` : '');

/** What the page has found by itself, and what the next step tells the server. */
function found({ read }) {
  const count = read.keys.length;
  return html`<div class="stack" role="status">${count || read.repeated || read.invalidCount ? counts([['ready', count], ['repeated', read.repeated], ['bad', read.invalidCount]]) : ''}</div>
    ${invalidLines(read, read.more)}
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
    <div class="field"><label for="${it.ids('file')}">${t('import.file')}</label><input type="file" id="${it.ids('file')}" accept=".txt,.csv,.json,text/plain,application/json" data-on-change="file"></div>
    ${found(it)}${fault(it.error)}<footer>${button({ name: 'close', text: t('action.cancel') })}${button({ type: 'submit', text: it.busy ? t('state.working') : t('import.preview'), kind: 'main', disabled: it.busy || !it.read.keys.length })}</footer></form>`,
  preview: ({ result, read, pool, busy, error }) => html`<form data-on-submit="send" class="stack"><p role="status">${t('import.would', { pool: pool.name })}</p>
    ${counts([['new', result.added], ['known', result.known], ['changed', result.changed], ['repeated', result.repeated], ['bad', result.invalidCount]])}
    ${invalidLines(result, read.more)}${fault(error)}
    <footer>${button({ name: 'back', text: t('action.back') })}<span class="fill"></span>${button({ type: 'submit', kind: 'main',
  text: t('import.go', { count: result.added, n: result.added }), disabled: busy || !(result.added + result.changed) })}</footer></form>`,
  sending: ({ parts, next, read }) => {
    const done = next ? parts[next - 1].end : 0;
    return html`<div class="stack"><p role="status">${t('import.progress', { done, whole: read.keys.length })}</p><progress max="${read.keys.length}" value="${done}" aria-label="${t('import.title')}"></progress>
      <footer>${button({ name: 'stop', text: t('action.stop') })}</footer></div>`;
  },
  result: ({ result, read, error, parts, next }) => html`<form data-on-submit="${next < parts.length ? 'send' : 'close'}" class="stack">
    <p role="status">${t(next < parts.length ? 'import.part' : 'import.done')}</p>${fault(error)}
    ${counts([['added', result.added], ['known', result.known], ['changed', result.changed], ['repeated', result.repeated], ['bad', result.invalidCount]])}
    ${invalidLines(result, read.more)}<footer>${next < parts.length ? button({ name: 'close', text: t('action.close') }) : ''}
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
    leave: () => it.step !== 'sending',
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
