// SPDX-License-Identifier: Apache-2.0
// What stands around the views: where one can go, which pool, how fresh the numbers are, language and theme.
import { signOut } from './api.js';
import { icon } from './components/icons.js';
import { say } from './components/news.js';
import { button, choice, errorText } from './components/parts.js';
import { time } from './format.js';
import { chooseLanguage, currentLanguage, languages, t } from './i18n.js';
import { listen, patch } from './patch.js';
import { address, route, VIEWS } from './router.js';
import { choosePool, currentPool, state, watch } from './state.js';
import { html } from './template.js';
import { chooseTheme, currentTheme, THEMES } from './theme.js';
import { Clients } from './views/clients.js';
import { Keys } from './views/keys.js';
import { outages } from './views/maintenance.js';
import { Overview } from './views/overview.js';
import { Requests } from './views/requests.js';
import { Settings } from './views/settings.js';

const kinds = { overview: Overview, keys: Keys, requests: Requests, clients: Clients, settings: Settings };

/** The choices of language and theme, here and on the page to sign in. */
export const preferences = () => html`
  ${choice('language', { name: 'language', label: t('shell.language'), value: currentLanguage(), hidden: true,
    options: Object.entries(languages), change: 'language' })}
  ${choice('theme', { name: 'theme', label: t('shell.theme'), value: currentTheme(), hidden: true,
    options: THEMES.map((name) => [name, t(`theme.${name}`)]), change: 'theme' })}`;

export class Shell {
  #view = null;

  #unwatch = null;

  #shownPool = null;

  constructor(root, onSignedOut) {
    this.root = root;
    this.onSignedOut = onSignedOut;
    this.navigate = () => this.#openView(true);
    this.frame = document.createElement('div');
    this.frame.className = 'shell';
    listen(this.frame, {
      pool: (select) => choosePool(select.value),
      language: (select) => this.#choose(chooseLanguage, select),
      theme: (select) => this.#choose(chooseTheme, select),
      signOut: () => this.#signOut(),
      toContent: () => this.frame.querySelector('h1')?.focus(),
    });
  }

  open() {
    this.root.replaceChildren(this.frame);
    this.show();
    this.#unwatch = watch((changes) => this.#refresh(changes));
    window.addEventListener('hashchange', this.navigate);
    this.#openView(false);
  }

  close() {
    this.#unwatch();
    window.removeEventListener('hashchange', this.navigate);
    this.#view?.close();
  }

  async #signOut() {
    try {
      await signOut();
      this.onSignedOut();
    } catch (error) {
      if (error.status === 401) {
        this.onSignedOut();
      } else {
        say(errorText(error), 'bad');
      }
    }
  }

  #choose(take, select) {
    take(select.value);
    this.show();
    this.#openView(false);
  }

  /** New numbers are shown where they stand; another pool opens the view anew. */
  #refresh(changes) {
    this.show();
    if (this.#shownPool !== state.pool) {
      this.#openView(false);
    } else if (changes.pools) {
      this.#view?.refresh();
    }
  }

  #openView(moveFocus) {
    const { view, params } = route();
    const place = document.createElement('div');
    this.#view?.close();
    this.frame.querySelector('main').replaceChildren(place);
    this.#shownPool = state.pool;
    this.#view = new kinds[view](place, view, params);
    this.show();
    this.#view.show();
    this.#view.load();
    document.title = `${t(`${view}.title`)} – mod_apipool`;
    if (moveFocus) {
      place.querySelector('h1').focus();
      window.scrollTo(0, 0);
    }
  }

  show() {
    const now = route().view;
    this.frame.classList.toggle('is-old', state.live === 'stale');
    patch(this.frame, html`
      <button type="button" class="skip" data-on-click="toContent">${t('shell.skip')}</button>
      <header class="bar"><span class="brand">${icon('keys')}<span>mod_apipool</span></span>
        ${this.#poolChoice()}${liveness()}<span class="fill"></span>${preferences()}${this.#user()}</header>
      <nav aria-label="${t('shell.nav')}"><ul>${VIEWS.map((name) => html`<li>
        <a href="${address(name)}"${name === now ? html` aria-current="page"` : ''}>${icon(name)}<span>${t(`${name}.title`)}</span></a></li>`)}</ul></nav>
      <div class="outages">${outages(currentPool())}</div><main data-keep></main>`);
  }

  #poolChoice() {
    const pools = state.pools ?? [];
    return pools.length < 2 ? html`<span class="only">${pools[0]?.name ?? ''}</span>`
      : choice('pool', { name: 'pool', label: t('shell.pool'), value: state.pool, hidden: true, change: 'pool',
        options: pools.map(({ name }) => [name, name]) });
  }

  #user() {
    const { user, role, auth } = state.session;
    return html`<span class="user">${user}${role === 'viewer' ? html` <span class="role">${t('shell.viewer')}</span>` : ''}</span>
      ${auth === 'httpd' ? '' : button({ name: 'signOut', label: t('shell.sign_out'), icon: 'out', kind: 'quiet' })}`;
  }
}

/** Whether the numbers are fresh; read aloud when that changes. */
function liveness() {
  const since = state.live === 'stale' ? time(state.at) : '';
  return html`<span class="live is-${state.live}" role="status" data-live="${state.live}">${t(`live.${state.live}`, { at: since })}</span>`;
}
