// SPDX-License-Identifier: Apache-2.0
// The WebSocket clients of the unmodified openai package; run by sdk.t.
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test as nodeTest } from 'node:test';

import OpenAI from 'openai';
import { OpenAIRealtimeWS } from 'openai/realtime/ws';
import { ResponsesWS } from 'openai/resources/responses/ws';

const base = process.env.APIPOOL_SDK_BASE;
const client = new OpenAI({ apiKey: 'client-key', baseURL: `${base}/events/v1`, maxRetries: 0 });
const test = (name, run) => nodeTest(name, { timeout: 30_000 }, run);

// The realtime client always asks for TLS; this server has none.
const options = { createConnection: ({ host, port }) => connect({ host, port }) };

const eventOf = (emitter, type) =>
  new Promise((resolve, reject) => {
    emitter.on(type, resolve);
    emitter.on('error', reject);
  });

test('a realtime dialogue', async () => {
  const realtime = new OpenAIRealtimeWS(
    { model: 'm', options },
    { apiKey: client.apiKey, baseURL: client.baseURL },
  );
  await eventOf(realtime, 'session.created');
  realtime.send({ type: 'session.update', session: { type: 'realtime', output_modalities: ['text'] } });
  await eventOf(realtime, 'session.updated');
  realtime.send({
    type: 'conversation.item.create',
    item: { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'Hello?' }] },
  });
  realtime.send({ type: 'response.create', event_id: '21-13' });
  const done = await eventOf(realtime, 'response.done');
  assert.equal(done.response.usage.total_tokens, 34);
  realtime.close();
});

test('a dialogue of responses', async () => {
  const responses = new ResponsesWS(client);
  for (const words of ['5-6', '7-8']) {
    responses.send({ type: 'response.create', model: 'm', input: 'Hello?', prompt_cache_key: words });
    const event = await eventOf(responses, 'response.completed');
    assert.equal(event.response.status, 'completed');
  }
  responses.close();
});
