// SPDX-License-Identifier: Apache-2.0
// Keeps the pools' numbers fresh: by the stream of events, by asking where that is not to be had.
import { get, isSessionOver } from './api.js';
import { state, takePools, update } from './state.js';

const POLL_EVERY = 5000;
const RETRY_STREAM_AFTER = 30000;
const STALE_AFTER = 6000;

let source = null;
let poll = null;
let retry = null;
let guard = null;

function takeEvent(event) {
  const { pools, at } = JSON.parse(event.data);
  stopPolling();
  takePools(pools, new Date(at));
  update({ live: 'live', heardAt: Date.now() });
}

async function ask() {
  try {
    takePools((await get('pools')).pools);
    update({ live: 'polling', heardAt: Date.now() });
  } catch {
    checkAge();
  }
}

function startPolling() {
  if (!poll) {
    poll = setInterval(ask, POLL_EVERY);
    ask();
  }
}

function stopPolling() {
  clearInterval(poll);
  poll = null;
}

/** Nothing heard for a while is said, whatever the reason. */
function checkAge() {
  const allowed = poll ? POLL_EVERY + STALE_AFTER : STALE_AFTER;
  if (state.heardAt && Date.now() - state.heardAt > allowed && state.live !== 'stale') {
    update({ live: 'stale' });
  }
}

function openStream() {
  clearTimeout(retry);
  source?.close();
  source = null;
  if (isSessionOver()) {
    return; // the next one begins with a new session
  }
  source = new EventSource('api/events');
  source.addEventListener('stats', takeEvent);
  source.onerror = () => {
    startPolling();
    if (source?.readyState === EventSource.CLOSED) {
      clearTimeout(retry);
      retry = setTimeout(openStream, RETRY_STREAM_AFTER);
    }
  };
}

/** A page that nobody sees keeps no thread of httpd. */
function followVisibility() {
  if (document.hidden) {
    source?.close();
    source = null;
    stopPolling();
    clearTimeout(retry);
  } else if (!source) {
    openStream();
  }
}

export function startLive() {
  stopLive();
  update({ heardAt: Date.now() });
  openStream();
  guard = setInterval(checkAge, 1000);
  document.addEventListener('visibilitychange', followVisibility);
}

export function stopLive() {
  document.removeEventListener('visibilitychange', followVisibility);
  source?.close();
  source = null;
  stopPolling();
  clearInterval(guard);
  clearTimeout(retry);
}
