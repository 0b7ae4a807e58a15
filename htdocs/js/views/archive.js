// SPDX-License-Identifier: Apache-2.0
// All keys and clients in one encrypted file, to move them to another server: made here, and read here.
import { post } from '../api.js';
import { download } from '../components/copy.js';
import { openDialog } from '../components/dialog.js';
import { say } from '../components/news.js';
import { button, fault, field, fieldIds } from '../components/parts.js';
import { t } from '../i18n.js';
import { isAdmin, state } from '../state.js';
import { html } from '../template.js';
import { counts } from './key_preview.js';

const SHORTEST = 12; // bytes of a passphrase
const LISTED = 100;

/** Keyboards write the same letter in more than one way. */
const passphraseOf = (data) => data.get('passphrase').normalize('NFC');

const bytesOf = (text) => new TextEncoder().encode(text).length;

const decode = (base64) => Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));

const encode = (file) => new Promise((resolve, reject) => {
  const reader = new FileReader();
  reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(',') + 1));
  reader.onerror = () => reject(reader.error);
  reader.readAsDataURL(file);
});

/** For those who may use it. */
export const archiveCard = () => (isAdmin() ? html`<section class="card" aria-labelledby="archive"><h2 id="archive">${t('archive.title')}</h2>
  <p class="hint">${t('archive.about')}</p>
  ${state.session.reveal ? '' : html`<p class="hint">${t('archive.no_reveal')}</p>`}
  <p class="row">${state.session.reveal ? button({ name: 'exportArchive', text: t('archive.export'), icon: 'down' }) : ''}
  ${button({ name: 'importArchive', text: t('archive.import') })}</p></section>` : '');

const inTheOpen = () => (window.isSecureContext ? '' : html`<p class="notice warn">${t('import.in_the_open')}</p>`);

/** Browsers want to know whose a password is. */
const passphraseField = (id, more = {}) => html`<input type="text" name="username" value="${state.session.user}" autocomplete="username" hidden>${field(id, { name: 'passphrase', label: t('archive.passphrase'), type: 'password', autocomplete: 'new-password',
  attributes: html` required maxlength="1024"`, ...more })}`;

/** Makes an archive and saves it. */
export function exportArchive() {
  const ids = fieldIds();
  let error = null;
  let busy = false;
  const why = (passphrase, again) => (bytesOf(passphrase) < SHORTEST ? t('archive.short', { n: SHORTEST })
    : passphrase !== again ? t('archive.differs') : null);
  openDialog({
    title: () => t('archive.export_title'),
    body: () => html`<form data-on-submit="go" class="stack"><p>${t('archive.export_text')}</p>
      ${passphraseField(ids('passphrase'), { hint: t('archive.passphrase_hint'), attributes: html` required maxlength="1024" data-focus` })}
      ${field(ids('again'), { name: 'again', label: t('archive.passphrase_again'), type: 'password', autocomplete: 'new-password', attributes: html` required` })}
      ${field(ids('password'), { name: 'password', label: t('signin.password'), type: 'password', autocomplete: 'current-password', hint: t('archive.password_hint'), attributes: html` required` })}
      ${inTheOpen()}${fault(error)}
      <footer>${button({ name: 'close', text: t('action.cancel') })}${button({ type: 'submit', text: busy ? t('state.working') : t('archive.save'), kind: 'main', disabled: busy })}</footer></form>`,
    leave: () => !busy,
    handlers: {
      go: async (dialog, element) => {
        const data = new FormData(element);
        const passphrase = passphraseOf(data);
        error = why(passphrase, data.get('again').normalize('NFC'));
        busy = !error;
        dialog.show();
        if (error) {
          return;
        }
        try {
          const { archive, keys, clients } = await post('archive/export', { passphrase, password: data.get('password') }, { asksPassword: true });
          download(`apipool-${new Date().toISOString().slice(0, 10)}.archive`, 'application/octet-stream', decode(archive));
          dialog.close();
          say(t('archive.exported', { keys, clients }));
        } catch (problem) {
          error = problem.status === 401 ? t('signin.wrong') : problem;
          busy = false;
          dialog.show();
        }
      },
    },
  });
}

const what = ({ kind, name, pool, upstream, label }) => (kind === 'client' ? t('archive.client', { name })
  : [name, label, pool, upstream].filter(Boolean).join(' · '));

function unplaced(items) {
  const list = items.filter(({ result }) => result === 'unplaced');
  return list.length ? html`<details class="invalid" open><summary>${t('archive.unplaced')}</summary>
    <ul class="rows plain scroll" tabindex="0" data-list="unplaced">${list.slice(0, LISTED).map((item) => html`<li><span>${what(item)}</span><span>${item.reason}</span></li>`)}</ul></details>` : '';
}

const numbers = ({ keys, clients, items }, added) => html`${[['keys', keys], ['clients', clients]].map(([name, of]) => html`<section data-of="${name}"><h3>${t(`archive.${name}`)}</h3>
  ${counts([[added, of.added], ['known', of.known], ['unplaced', of.unplaced]])}</section>`)}${unplaced(items)}`;

/** Reads an archive: says what it would add, then adds it. Resolves with whether anything was added. */
export async function importArchive() {
  const ids = fieldIds();
  const it = { step: 'input', body: null, result: null, error: null, busy: false };
  const bodies = {
    input: () => html`<form data-on-submit="look" class="stack"><p>${t('archive.import_text')}</p>
      <div class="field"><label for="${ids('file')}">${t('archive.file')}</label><input type="file" id="${ids('file')}" name="file" required data-focus></div>
      ${passphraseField(ids('passphrase'))}${inTheOpen()}${fault(it.error)}
      <footer>${button({ name: 'close', text: t('action.cancel') })}${button({ type: 'submit', text: it.busy ? t('state.working') : t('import.preview'), kind: 'main', disabled: it.busy })}</footer></form>`,
    preview: () => html`<form data-on-submit="go" class="stack"><p role="status">${t('archive.would')}</p>${numbers(it.result, 'new')}${fault(it.error)}
      <footer>${button({ name: 'close', text: t('action.cancel') })}${button({ type: 'submit', text: it.busy ? t('state.working') : t('archive.go'), kind: 'main',
  disabled: it.busy || !(it.result.keys.added + it.result.clients.added) })}</footer></form>`,
    result: () => html`<form data-on-submit="close" class="stack"><p role="status">${t('archive.done')}</p>${numbers(it.result, 'added')}
      <footer>${button({ type: 'submit', text: t('action.close'), kind: 'main' })}</footer></form>`,
  };
  const ask = async (dialog, path, step) => {
    it.busy = true;
    it.error = null;
    dialog.show();
    try {
      it.result = await post(path, await it.body());
      it.step = step;
    } catch (problem) {
      it.error = problem;
    }
    it.busy = false;
    dialog.show();
    dialog.element.querySelector('[type=submit]:not(:disabled)')?.focus();
  };
  await openDialog({
    title: () => t('archive.import_title'),
    body: () => bodies[it.step](),
    leave: () => !it.busy,
    handlers: {
      look: (dialog, element) => {
        const data = new FormData(element);
        it.body = async () => ({ passphrase: passphraseOf(data), archive: await encode(data.get('file')) });
        return ask(dialog, 'archive/import?preview=true', 'preview');
      },
      go: (dialog) => ask(dialog, 'archive/import', 'result'),
    },
  }).done;
  it.body = null;
  return it.step === 'result';
}
