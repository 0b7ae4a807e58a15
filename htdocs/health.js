// SPDX-License-Identifier: Apache-2.0
// Shows whether the pools behind this page can serve requests.

const texts = {
  ok: 'The pools are up.',
  down: 'The pools cannot serve requests; see the error log of httpd.',
  unreachable: 'The server does not answer.',
};

async function askHealth() {
  try {
    const answer = await fetch('api/health', { cache: 'no-store' });
    return answer.ok ? 'ok' : 'down';
  } catch {
    return 'unreachable';
  }
}

async function show() {
  const state = await askHealth();
  const place = document.getElementById('health');
  if (place.dataset.state !== state) {
    place.dataset.state = state;
    place.textContent = texts[state];
  }
}

await show();
setInterval(show, 10000);
