// SPDX-License-Identifier: Apache-2.0
// What every view does: load, show that it loads, that it failed, or what there is.
import { failed, fault, loading } from './components/parts.js';
import { t } from './i18n.js';
import { listen, patch } from './patch.js';
import { html } from './template.js';

export class View {
  ready = false;

  error = null;

  #loads = 0;

  #closed = false;

  /** name is that of the route; params are URLSearchParams. */
  constructor(place, name, params, handlers = {}) {
    this.place = place;
    this.name = name;
    this.params = params;
    this.handle({ again: () => this.load(), ...handlers });
  }

  /** Handlers by the names of patch.js. */
  handle(handlers) {
    listen(this.place, handlers);
  }

  /** Asks for what the view shows, and shows it. Of several at once the last one counts. */
  async load() {
    const number = ++this.#loads;
    let error = null;
    try {
      await this.fetch(() => number === this.#loads && !this.#closed);
    } catch (problem) {
      error = problem;
    }
    if (number === this.#loads) {
      this.error = error;
      this.ready ||= !error;
      this.show();
    }
  }

  /** For the view to fill in: asks, and takes the answers while isCurrent() is true. */
  async fetch() {}

  /** For the view to fill in: its markup, and what stands beside its title. */
  content() {
    return '';
  }

  tools() {
    return '';
  }

  /** For the view to fill in: the numbers of the pools are new. */
  refresh() {}

  /** For the view to fill in: after each time that it was drawn. */
  drawn() {}

  show() {
    if (this.#closed) {
      return;
    }
    patch(this.place, html`<div class="page-head"><h1 tabindex="-1">${t(`${this.name}.title`)}</h1>${this.tools()}</div>
      ${this.ready ? html`${fault(this.error)}${this.content()}` : this.error ? failed(this.error) : loading()}`);
    if (this.ready) {
      this.drawn();
    }
  }

  close() {
    this.#closed = true;
  }
}
