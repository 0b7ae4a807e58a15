// SPDX-License-Identifier: Apache-2.0
// Which view is shown, from the address after '#': #/keys?state=cooling

export const VIEWS = ['overview', 'keys', 'requests', 'clients', 'settings'];

export function route() {
  const [name, query] = location.hash.replace(/^#\/?/, '').split('?');
  return { view: VIEWS.includes(name) ? name : 'overview', params: new URLSearchParams(query) };
}

/** The address of a view; parameters without a value are left out. */
export function address(view, params = {}) {
  const query = new URLSearchParams(Object.entries(params).filter(([, value]) => value !== '' && value !== null && value !== undefined));
  return `#/${view}${query.size ? `?${query}` : ''}`;
}

/** Notes parameters in the address without opening the view again. */
export function note(view, params) {
  history.replaceState(null, '', address(view, params));
}
