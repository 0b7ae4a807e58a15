// SPDX-License-Identifier: Apache-2.0
// The page to sign in.
import { icon } from '../components/icons.js';
import { SigninForm } from '../components/signin_form.js';
import { chooseLanguage, t } from '../i18n.js';
import { listen, patch } from '../patch.js';
import { preferences } from '../shell.js';
import { html } from '../template.js';
import { chooseTheme } from '../theme.js';

export class SigninPage {
  /** onSignedIn is called when there is a session. */
  constructor(root, onSignedIn) {
    this.root = root;
    this.page = document.createElement('main');
    this.page.className = 'signin';
    this.form = new SigninForm('signin', () => this.show());
    const choose = (take) => (select) => {
      take(select.value);
      this.show();
    };
    listen(this.page, {
      language: choose(chooseLanguage),
      theme: choose(chooseTheme),
      signIn: async (form) => {
        if (await this.form.submit(form)) {
          await onSignedIn();
        }
      },
    });
  }

  open() {
    this.root.replaceChildren(this.page);
    this.show();
    this.page.querySelector('input').focus();
  }

  show() {
    document.title = `${t('signin.title')} – mod_apipool`;
    patch(this.page, html`<div class="card"><p class="brand">${icon('keys')}<span>mod_apipool</span></p>
      <h1>${t('signin.title')}</h1>${this.form.markup()}</div>
      <div class="preferences">${preferences()}</div>`);
  }
}
