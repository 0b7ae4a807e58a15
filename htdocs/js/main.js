// SPDX-License-Identifier: Apache-2.0
// Where the page begins: who looks, which view, and what happens when a session ends.
import { onExpired, setToken, whoAmI } from './api.js';
import { openDialog } from './components/dialog.js';
import { errorText } from './components/parts.js';
import { SigninForm } from './components/signin_form.js';
import { startLanguage, t } from './i18n.js';
import { startLive, stopLive } from './live.js';
import { listen, patch } from './patch.js';
import { Shell } from './shell.js';
import { state, update } from './state.js';
import { failed, loading } from './components/parts.js';
import { SigninPage } from './views/signin.js';
import { html } from './template.js';

const root = document.getElementById('app');
let shell = null;

/** A session that ended: signs in over the page, so that what was typed there stays. */
async function signInAgain() {
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
  const session = await dialog.done;
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
  setToken(null);
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
    if (session) {
      update({ session });
      openShell();
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
