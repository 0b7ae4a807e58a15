// SPDX-License-Identifier: Apache-2.0
// Makes a part of the page look like new markup and changes only what differs: focus, what was typed, and what is
// unfolded stay.
import { html } from './template.js';

/** Attributes that the user changes by using the page. */
const OWNED_BY_USER = new Set(['open']);

/** Properties that an attribute only begins with. */
const PROPERTIES = { value: 'value', checked: 'checked', selected: 'selected' };

function setAttribute(node, name, value) {
  const isTypedIn = name === 'value' && node === document.activeElement;
  node.setAttribute(name, value);
  if (name in PROPERTIES && !isTypedIn) {
    node[PROPERTIES[name]] = name === 'value' ? value : true;
  }
}

function removeAttribute(node, name) {
  node.removeAttribute(name);
  if (name in PROPERTIES) {
    node[PROPERTIES[name]] = name === 'value' ? '' : false;
  }
}

function patchAttributes(node, wanted) {
  const isToggled = node.nodeName === 'DETAILS' || node.nodeName === 'DIALOG';
  for (const { name } of [...node.attributes]) {
    if (!wanted.hasAttribute(name) && !(isToggled && OWNED_BY_USER.has(name))) {
      removeAttribute(node, name);
    }
  }
  for (const { name, value } of wanted.attributes) {
    if (node.getAttribute(name) !== value && !(isToggled && OWNED_BY_USER.has(name))) {
      setAttribute(node, name, value);
    }
  }
}

const keyOf = (node) => node.dataset?.key ?? '';

const isLike = (node, wanted) => node.nodeName === wanted.nodeName && keyOf(node) === keyOf(wanted)
  && (node.id ?? '') === (wanted.id ?? '');

function patchNode(node, wanted) {
  if (node.nodeType !== Node.ELEMENT_NODE) {
    if (node.data !== wanted.data) {
      node.data = wanted.data;
    }
    return;
  }
  patchAttributes(node, wanted);
  if (!('keep' in node.dataset)) {
    patchChildren(node, wanted);
  }
}

/** The node that becomes the wanted one: the next, or one with the same key further down. */
function findMatch(next, wanted, keyed) {
  if (next && isLike(next, wanted)) {
    return next;
  }
  const other = keyOf(wanted) && keyed.get(keyOf(wanted));
  return other && isLike(other, wanted) ? other : null;
}

function patchChildren(parent, wanted) {
  const keyed = new Map([...parent.children].filter(keyOf).map((child) => [keyOf(child), child]));
  let next = parent.firstChild;
  for (const child of [...wanted.childNodes]) {
    const match = findMatch(next, child, keyed);
    if (!match) {
      parent.insertBefore(child, next);
      continue;
    }
    if (match === next) {
      next = next.nextSibling;
    } else {
      parent.insertBefore(match, next);
    }
    keyed.delete(keyOf(match));
    patchNode(match, child);
  }
  while (next) {
    const after = next.nextSibling;
    next.remove();
    next = after;
  }
}

/** Shows markup of template.js, or a list of it, in a node. Elements with data-keep keep their children, data-key names one of many. */
export function patch(root, content) {
  const markup = html`${content}`;
  const template = document.createElement('template');
  template.innerHTML = String(markup);
  patchChildren(root, template.content);
}

/** Calls handlers by the names in data-on-click and so on, of the element that was hit or one around it. */
export function listen(root, handlers) {
  for (const type of ['click', 'input', 'change', 'submit', 'keydown']) {
    root.addEventListener(type, (event) => {
      const element = event.target.closest?.(`[data-on-${type}]`);
      const handler = element && root.contains(element) && handlers[element.getAttribute(`data-on-${type}`)];
      if (handler) {
        if (type === 'submit') {
          event.preventDefault();
        }
        handler(element, event);
      }
    });
  }
}
