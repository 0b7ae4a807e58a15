// SPDX-License-Identifier: Apache-2.0
// Dialogs over the page. The browser keeps the focus inside, closes them with Escape and gives the focus back.
import { t } from '../i18n.js';
import { listen, patch } from '../patch.js';
import { html } from '../template.js';
import { keepNews } from './news.js';
import { button, fault } from './parts.js';

let count = 0;

/**
 * Opens one. body() is its markup, handlers are called with the dialog first; locked ones stay until they are closed
 * by their own code. Gives { done, close(result), show() }; done resolves with the result, null if it was left.
 */
export function openDialog({ title, body, handlers = {}, kind = '', locked = false, leave = () => true }) {
  const element = document.createElement('dialog');
  const id = `dialog-${++count}`;
  let settle;
  const dialog = {
    element,
    done: new Promise((resolve) => {
      settle = resolve;
    }),
    close(result = null) {
      element.close();
      keepNews(element);
      element.remove();
      settle(result);
    },
    show() {
      patch(element, html`<header><h2 id="${id}">${title()}</h2>
        ${locked ? '' : button({ name: 'close', label: t('action.close'), icon: 'close', kind: 'quiet' })}</header>
        ${body()}<div data-news data-keep aria-live="polite"></div>`);
    },
  };
  const tryLeave = () => !locked && leave() && dialog.close();
  const bound = Object.entries(handlers).map(([name, run]) => [name, (target, event) => run(dialog, target, event)]);
  element.className = `dialog ${kind}`;
  element.setAttribute('aria-labelledby', id);
  listen(element, { close: tryLeave, ...Object.fromEntries(bound) });
  element.addEventListener('cancel', (event) => {
    event.preventDefault();
    tryLeave();
  });
  document.body.append(element);
  dialog.show();
  element.showModal();
  element.querySelector('[data-focus]')?.focus();
  return dialog;
}

/**
 * Asks before something that many keys, or somebody else, will feel; text names what is hit, and about says what that means. Does it,
 * and says if that failed. Resolves with what work() gave, or null.
 */
export function confirm({ title, text, about, verb, kind = 'danger', work }) {
  let busy = false;
  let error = null;
  const body = () => html`<form data-on-submit="go" class="stack"><p>${text}</p>${about ? html`<p class="hint">${about}</p>` : ''}${fault(error)}
    <footer>${button({ name: 'close', text: t('action.cancel') })}
      ${button({ type: 'submit', text: busy ? t('state.working') : verb, kind, disabled: busy })}</footer></form>`;
  const go = async (dialog) => {
    busy = true;
    dialog.show();
    try {
      dialog.close((await work()) ?? true);
    } catch (problem) {
      error = problem;
      busy = false;
      dialog.show();
    }
  };
  return openDialog({ title: () => title, body, handlers: { go }, kind: 'small', leave: () => !busy }).done;
}
