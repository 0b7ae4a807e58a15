// SPDX-License-Identifier: Apache-2.0
// Where the page begins: who looks, which view, and what happens when a session ends.
import { forgetSession, onExpired, whoAmI } from './api.js';
import { openDialog } from './components/dialog.js';
import { button, errorText, failed, fault, loading } from './components/parts.js';
import { SigninForm } from './components/signin_form.js';
import { startLanguage, t } from './i18n.js';
import { startLive, stopLive } from './live.js';
import { listen, patch } from './patch.js';
import { Shell } from './shell.js';
import { state, update } from './state.js';
import { SigninPage } from './views/signin.js';
import { html } from './template.js';

const root = document.getElementById('app');
let shell = null;

/** Asks for the password over the page; resolves with the session. */
function askPassword() {
  let form = null;
  const dialog = openDialog({
    title: () => t('signin.again'),
    body: () => html`<p>${t('signin.expired')}</p>${form?.markup() ?? ''}`,
    handlers: {
      async signIn(self, element) {
        const session = await form.submit(element);
        if (session) {
          self.close(session);
        }
      },
    },
    kind: 'small',
    locked: true,
  });
  form = new SigninForm('again', () => dialog.show(), state.session?.user ?? '');
  dialog.show();
  dialog.element.querySelector('[data-focus]')?.focus();
  return dialog.done;
}

/** The same where httpd decides who it is: its login is in another window, and this one waits. */
function awaitHttpd() {
  let error = null;
  return openDialog({
    title: () => t('signin.again'),
    body: () => html`<form data-on-submit="goOn" class="stack"><p>${t('signin.expired')} ${t('signin.elsewhere')}</p>${fault(error)}
      <footer><a class="button" href="./" target="_blank" data-focus>${t('signin.open')}</a>
      ${button({ type: 'submit', text: t('signin.go_on'), kind: 'main' })}</footer></form>`,
    handlers: {
      async goOn(self) {
        const session = await whoAmI().catch((problem) => problem);
        if (session.user) {
          self.close(session);
        } else {
          error = session instanceof Error ? session : t('error.nobody');
          self.show();
        }
      },
    },
    kind: 'small',
    locked: true,
  }).done;
}

/** A session that ended: signs in over the page, so that what was typed there stays. */
async function signInAgain() {
  stopLive();
  update({ live: 'stale' });
  const session = await (state.session.auth === 'httpd' ? awaitHttpd() : askPassword());
  update({ session: { ...state.session, ...session } });
  startLive();
}

function openShell() {
  onExpired(signInAgain);
  shell = new Shell(root, openSignin);
  shell.open();
  startLive();
}

function openSignin() {
  onExpired(null);
  forgetSession();
  stopLive();
  shell?.close();
  shell = null;
  update({ session: null, pools: null, at: null, live: 'starting' });
  new SigninPage(root, async () => {
    update({ session: await whoAmI() });
    openShell();
  }).open();
}

async function start() {
  patch(root, html`<main>${loading()}</main>`);
  try {
    const session = await whoAmI();
    if (session.user) {
      update({ session });
      openShell();
    } else if (session.auth === 'httpd') {
      patch(root, html`<main>${failed({ code: 'nobody' })}</main>`);
    } else {
      openSignin();
    }
  } catch (error) {
    patch(root, html`<main>${failed({ code: error.code, message: errorText(error) })}</main>`);
  }
}

startLanguage();
listen(document, { again: () => shell ?? start() });
await start();
