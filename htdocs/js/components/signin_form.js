// SPDX-License-Identifier: Apache-2.0
// Name and password: on a page of their own, and in a dialog when a session has ended.
import { signIn } from '../api.js';
import { t } from '../i18n.js';
import { html } from '../template.js';
import { button, errorText, fault, field } from './parts.js';

/** What a sign-in with this form failed with, in words. */
function problem(error) {
  return error.status === 401 ? t('signin.wrong') : errorText(error);
}

export class SigninForm {
  busy = false;

  error = null;

  constructor(id, show, user = '') {
    this.id = id;
    this.show = show;
    this.user = user;
  }

  markup() {
    return html`<form data-on-submit="signIn" class="stack">
      ${field(`${this.id}-user`, { name: 'username', label: t('signin.user'), value: this.user,
    autocomplete: 'username', attributes: html` required${this.user ? '' : html` data-focus`}` })}
      ${field(`${this.id}-password`, { name: 'password', label: t('signin.password'), type: 'password',
    autocomplete: 'current-password', attributes: html` required${this.user ? html` data-focus` : ''}` })}
      ${fault(this.error)}
      <footer>${button({ type: 'submit', text: this.busy ? t('state.working') : t('signin.go'), kind: 'main', disabled: this.busy })}</footer>
    </form>`;
  }

  /** Resolves with the session, or null where it failed, which is shown. */
  async submit(form) {
    const { username, password } = Object.fromEntries(new FormData(form));
    this.busy = true;
    this.error = null;
    this.show();
    try {
      return await signIn(username, password);
    } catch (error) {
      this.error = problem(error);
      return null;
    } finally {
      this.busy = false;
      this.show();
      form.elements.password.select();
    }
  }
}
