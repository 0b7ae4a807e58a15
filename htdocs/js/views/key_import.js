// SPDX-License-Identifier: Apache-2.0
// Import: by paste, file or drop; first what would happen, then how far it is, then what came of it.
import { paths, post } from '../api.js';
import { csv, download } from '../components/copy.js';
import { openDialog } from '../components/dialog.js';
import { button, choice, fault, fieldIds } from '../components/parts.js';
import { number } from '../format.js';
import { t } from '../i18n.js';
import { html } from '../template.js';
import { addResult, batches, nothing } from './key_batches.js';

const LISTED = 100;
const SIZE_MAX = 64 * 1024 * 1024;

/** The server's reasons, and the names of our texts for them; others are shown as they are. */
const REASONS = {
  'empty key': 'empty',
  'key longer than 4096 bytes': 'long',
  'control character in a key': 'control',
  'blank inside a key (keys are separated by commas or newlines)': 'blank',
  'quote in a key': 'quote',
  'character outside ASCII in a key (was it copied in its masked form?)': 'ascii',
  'neither a string nor an object': 'element',
  'object without a string "key"': 'object',
};

const reasonText = (reason) => (reason in REASONS ? t(`fault.${REASONS[reason]}`) : reason);

/** What is done at each step of the dialog. */
class Import {
  step = 'input'; // input, preview, sending, result

  text = '';

  error = null;

  busy = false;

  result = nothing();

  preview = nothing();

  parts = [];

  next = 0;

  stopped = false;

  constructor(pool) {
    this.pool = pool;
    this.upstream = pool.upstreams[0]?.name ?? '';
    this.ids = fieldIds();
  }

  path(query) {
    return paths.keys(this.pool.name, { upstream: this.upstream, ...query });
  }

  async ask(dialog) {
    this.busy = true;
    this.error = null;
    dialog.show();
    try {
      this.parts = batches(this.text);
      const isJson = this.parts[0] && 'json' in this.parts[0];
      this.preview = isJson ? await post(this.path({ preview: true }), JSON.parse(this.text))
        : await post(this.path({ preview: true }), undefined, { text: this.text });
      this.step = 'preview';
    } catch (error) {
      this.error = error instanceof SyntaxError ? t('import.bad_json') : error;
    }
    this.busy = false;
    dialog.show();
    dialog.element.querySelector('[type=submit]:not(:disabled)')?.focus();
  }

  /** Sends what has not been sent; after a failure it goes on where that was. */
  async send(dialog) {
    this.step = 'sending';
    this.error = null;
    this.stopped = false;
    dialog.show();
    try {
      while (this.next < this.parts.length && !this.stopped) {
        const { json, text, start } = this.parts[this.next];
        this.result = addResult(this.result, await post(this.path({}), json, { text }), start);
        this.next++;
        dialog.show();
      }
      this.text = '';
    } catch (error) {
      this.error = error;
    }
    this.step = 'result';
    dialog.show();
    dialog.element.querySelector('[type=submit]')?.focus();
  }

  async take(dialog, file) {
    if (!file) {
      return;
    }
    if (file.size > SIZE_MAX) {
      this.error = t('import.too_large');
    } else {
      this.text = await file.text();
      dialog.element.querySelector('textarea').value = this.text;
      await this.ask(dialog);
    }
    dialog.show();
  }
}

const counts = (list) => html`<dl class="counts">${list.map(([name, value]) => html`<div class="${name}"><dt>${t(`import.${name}`)}</dt><dd data-count="${name}">${number(value)}</dd></div>`)}</dl>`;

const invalidLines = ({ invalid, invalid_count: count }) => (count ? html`<details class="invalid" open><summary>${t('import.invalid_lines', { n: count })}</summary>
  <ul class="rows plain scroll" tabindex="0">${invalid.slice(0, LISTED).map(({ line, reason }) => html`<li><span>${t('import.line', { n: line })}</span><span>${reasonText(reason)}</span></li>`)}</ul>
  ${count > LISTED ? html`<p class="hint">${t('import.more', { n: count - LISTED })}</p>` : ''}${button({ name: 'save', text: t('import.save_invalid'), icon: 'down' })}</details>` : '');

const bodies = {
  input: (it) => html`<form data-on-submit="ask" class="stack">
    ${it.pool.upstreams.length > 1 ? choice(it.ids('upstream'), { name: 'upstream', label: t('import.upstream'), value: it.upstream, change: 'upstream', options: it.pool.upstreams.map(({ name }) => [name, name]) }) : ''}
    <div class="field"><label for="${it.ids('text')}">${t('import.text')}</label>
      <textarea id="${it.ids('text')}" name="text" rows="10" data-focus spellcheck="false" autocomplete="off" data-drop aria-describedby="${it.ids('hint')}"></textarea>
      <p class="hint" id="${it.ids('hint')}">${t('import.hint')}</p></div>
    <div class="field"><label for="${it.ids('file')}">${t('import.file')}</label><input type="file" id="${it.ids('file')}" accept=".txt,.csv,.json,text/plain,application/json" data-on-change="file"></div>
    ${fault(it.error)}<footer>${button({ name: 'close', text: t('action.cancel') })}${button({ type: 'submit', text: it.busy ? t('state.working') : t('import.preview'), kind: 'main', disabled: it.busy })}</footer></form>`,
  preview: ({ preview, pool, busy, error }) => html`<form data-on-submit="send" class="stack"><p>${t('import.would', { pool: pool.name })}</p>
    ${counts([['new', preview.added], ['duplicate', preview.duplicates], ['changed', preview.updated], ['bad', preview.invalid_count]])}
    ${invalidLines(preview)}${fault(error)}
    <footer>${button({ name: 'back', text: t('action.back') })}<span class="fill"></span>${button({ type: 'submit', kind: 'main',
  text: t('import.go', { count: preview.added, n: preview.added }), disabled: busy || !(preview.added + preview.updated) })}</footer></form>`,
  sending: ({ parts, next }) => {
    const whole = parts.reduce((sum, { size }) => sum + size, 0);
    const done = parts.slice(0, next).reduce((sum, { size }) => sum + size, 0);
    return html`<div class="stack"><p role="status">${t('import.progress', { done, whole })}</p><progress max="${whole}" value="${done}" aria-label="${t('import.title')}"></progress>
      <footer>${button({ name: 'stop', text: t('action.stop') })}</footer></div>`;
  },
  result: ({ result, error, parts, next }) => html`<form data-on-submit="${next < parts.length ? 'send' : 'close'}" class="stack">
    <p role="status">${t(next < parts.length ? 'import.part' : 'import.done')}</p>${fault(error)}
    ${counts([['added', result.added], ['duplicate', result.duplicates], ['changed', result.updated], ['bad', result.invalid_count]])}
    ${invalidLines(result)}<footer>${next < parts.length ? button({ name: 'close', text: t('action.close') }) : ''}
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
  const dialog = openDialog({
    title: () => t('import.title_pool', { pool: pool.name }),
    body: () => bodies[it.step](it),
    kind: 'large',
    leave: () => it.step !== 'sending',
    handlers: {
      upstream: (self, select) => {
        it.upstream = select.value;
      },
      file: (self, input) => it.take(self, input.files[0]),
      ask: (self, form) => {
        it.text = new FormData(form).get('text');
        return it.ask(self);
      },
      back: (self) => {
        it.step = 'input';
        self.show();
        self.element.querySelector('textarea').value = it.text;
      },
      send: (self) => it.send(self),
      stop: () => {
        it.stopped = true;
      },
      save: () => download(`${pool.name}-invalid.csv`, 'text/csv', csv([['line', 'reason'],
        ...(it.step === 'preview' ? it.preview : it.result).invalid.map(({ line, reason }) => [line, reason])])),
    },
  });
  acceptDrops(dialog, it);
  await dialog.done;
  it.text = '';
  return it.result.added + it.result.updated > 0;
}
