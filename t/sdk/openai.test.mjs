// SPDX-License-Identifier: Apache-2.0
// Calls of the unmodified openai client, each to a pool whose first two keys are bad; run by sdk.t.
import assert from 'node:assert/strict';
import { Buffer, File as NodeFile } from 'node:buffer';
import { test as nodeTest } from 'node:test';

import OpenAI, { toFile, toStreamingFile } from 'openai';

// Node 18 has the class, but not as a global; the client asks for it in these words.
globalThis.File ??= NodeFile;

const base = process.env.APIPOOL_SDK_BASE;
const rotating = Number(process.env.APIPOOL_SDK_ROTATING);
assert.ok(base && rotating, 'APIPOOL_SDK_BASE and APIPOOL_SDK_ROTATING are set by sdk.t');

const HELLO = 'Hello from the mock upstream.';
const VECTOR = [0.1, 0.2, 0.3, 0.4];
const CHAT = { model: 'mock-model', messages: [{ role: 'user', content: 'Hello?' }] };
const RESPONSE = { model: 'mock-model', input: 'Hello?' };

const test = (name, run) => nodeTest(name, { timeout: 60_000 }, run);

const clientOf = (pool, options = {}) =>
  new OpenAI({
    apiKey: 'client-key',
    baseURL: `${base}/${pool}/v1`,
    maxRetries: 0,
    timeout: 20_000,
    logLevel: 'off',
    ...options,
  });

// A client of a pool that nobody has used yet: a key refused, a key limited, a key that works.
let taken = 0;
const freshClient = () => {
  assert.ok(taken < rotating, 'sdk.t defines a pool for each test');
  taken += 1;
  return clientOf(`rotate-${taken}`);
};

// The client's own fetch, with its calls counted.
const counted = () => {
  const counter = { calls: 0 };
  counter.fetch = (...args) => {
    counter.calls += 1;
    return fetch(...args);
  };
  return counter;
};

// The result of a call that took the pool three attempts and the client one.
const rotated = async (promise) => {
  const { data, response } = await promise.withResponse();
  assert.equal(response.headers.get('x-apipool-attempts'), '3');
  return data;
};

const collect = async (iterable) => {
  const items = [];
  for await (const item of iterable) {
    items.push(item);
  }
  return items;
};

const textOf = (chunks) => chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join('');

const failureOf = (promise) =>
  promise.then(
    () => assert.fail('the call should have failed'),
    (error) => error,
  );

// Looks again and again until it is so.
const eventually = async (isSo) => {
  while (!(await isSo())) {
    await new Promise((resolve) => {
      setTimeout(resolve, 100);
    });
  }
};

const bytes = (count) => Buffer.from(Array.from({ length: count }, (_, i) => (i * 7) & 255));

const closeTo = (numbers, expected) => {
  assert.equal(numbers.length, expected.length);
  expected.forEach((value, i) => assert.ok(Math.abs(numbers[i] - value) < 1e-6, `${numbers[i]}`));
};

// --- What succeeds -------------------------------------------------------------------------------

test('chat.completions.create', async () => {
  const answer = await rotated(freshClient().chat.completions.create(CHAT));
  assert.equal(answer.object, 'chat.completion');
  assert.equal(answer.choices[0].message.content, HELLO);
  assert.equal(answer.choices[0].finish_reason, 'stop');
  assert.equal(answer.usage.completion_tokens, 7);
  assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens + 7);
});

test('the bad keys are asked once, the next call takes one attempt', async () => {
  const client = freshClient();
  await rotated(client.chat.completions.create(CHAT));
  const response = await client.chat.completions.create(CHAT).asResponse();
  assert.equal(response.headers.get('x-apipool-attempts'), '1');
  assert.equal((await response.json()).choices[0].message.content, HELLO);
});

test('chat.completions.create of a large conversation', async () => {
  const content = 'ä€😀'.repeat(100_000);
  const messages = [{ role: 'user', content }];
  const answer = await rotated(freshClient().chat.completions.create({ ...CHAT, messages }));
  assert.equal(answer.choices[0].message.content, HELLO);
  assert.ok(answer.usage.prompt_tokens * 4 > Buffer.byteLength(content));
});

test('chat.completions.create with stream', async () => {
  const stream = await rotated(freshClient().chat.completions.create({ ...CHAT, stream: true }));
  const chunks = await collect(stream);
  assert.equal(textOf(chunks), HELLO);
  assert.equal(chunks[0].choices[0].delta.role, 'assistant');
  assert.equal(chunks.at(-1).choices[0].finish_reason, 'stop');
});

test('chat.completions.create with stream ends with DONE on the wire', async () => {
  const call = freshClient().chat.completions.create({ ...CHAT, stream: true });
  const response = await call.asResponse();
  assert.match(response.headers.get('content-type'), /^text\/event-stream/);
  assert.equal(response.headers.get('x-apipool-attempts'), '3');
  assert.match(await response.text(), /\n\ndata: \[DONE\]\n\n$/);
});

test('chat.completions.create with stream and usage', async () => {
  const body = { ...CHAT, stream: true, stream_options: { include_usage: true } };
  const chunks = await collect(await rotated(freshClient().chat.completions.create(body)));
  assert.equal(textOf(chunks), HELLO);
  assert.deepEqual(chunks.at(-1).choices, []);
  assert.equal(chunks.at(-1).usage.completion_tokens, 7);
  assert.equal(chunks.at(-2).usage, null);
});

test('chat.completions.create with a long stream', async () => {
  const call = freshClient().chat.completions.create(
    { ...CHAT, stream: true },
    { query: { events: 5000 } },
  );
  const chunks = await collect(await rotated(call));
  assert.equal(textOf(chunks), HELLO.repeat(1000));
});

test('chat.completions.stream', async () => {
  const stream = freshClient().chat.completions.stream(CHAT);
  const deltas = [];
  stream.on('content', (delta) => deltas.push(delta));
  const answer = await stream.finalChatCompletion();
  assert.equal(answer.choices[0].message.content, HELLO);
  assert.equal(deltas.join(''), HELLO);
});

test('completions.create', async () => {
  const answer = await rotated(
    freshClient().completions.create({ model: 'mock-model', prompt: 'Hello?' }),
  );
  assert.equal(answer.choices[0].text, HELLO);
});

test('embeddings.create, base64 by default', async () => {
  const input = ['one', 'two'];
  const answer = await rotated(freshClient().embeddings.create({ model: 'mock-model', input }));
  assert.equal(answer.data.length, 2);
  answer.data.forEach((item) => closeTo(item.embedding, VECTOR));
});

test('embeddings.create, float', async () => {
  const answer = await rotated(
    freshClient().embeddings.create({
      model: 'mock-model',
      input: 'one',
      encoding_format: 'float',
    }),
  );
  assert.deepEqual(answer.data[0].embedding, VECTOR);
});

test('images.generate', async () => {
  const answer = await rotated(
    freshClient().images.generate({ model: 'mock-model', prompt: 'a pool' }),
  );
  assert.equal(answer.data[0].url, 'https://mock.example/image.png');
});

test('audio.transcriptions.create', async () => {
  const sound = bytes(300_000);
  const file = await toFile(sound, 'sound.wav', { type: 'audio/wav' });
  const answer = await rotated(
    freshClient().audio.transcriptions.create({ model: 'mock-model', file }),
  );
  const [, size] = answer.text.match(/^mock transcription of (\d+) bytes$/);
  assert.ok(Number(size) > sound.length);
});

test('audio.speech.create', async () => {
  const answer = await rotated(
    freshClient().audio.speech.create({ model: 'mock-model', voice: 'alloy', input: 'Hello?' }),
  );
  assert.equal(answer.headers.get('content-type'), 'audio/mpeg');
  const sound = Buffer.from(await answer.arrayBuffer());
  assert.deepEqual(sound, Buffer.from(Array.from({ length: 4096 }, (_, i) => i & 255)));
});

test('responses.create', async () => {
  const answer = await rotated(freshClient().responses.create(RESPONSE));
  assert.equal(answer.status, 'completed');
  assert.equal(answer.output_text, HELLO);
  assert.equal(answer.usage.output_tokens, 7);
});

test('responses.create with stream', async () => {
  const stream = await rotated(freshClient().responses.create({ ...RESPONSE, stream: true }));
  const events = await collect(stream);
  const deltas = events.filter((event) => event.type === 'response.output_text.delta');
  assert.equal(deltas.map((event) => event.delta).join(''), HELLO);
  assert.deepEqual(
    events.map((event) => event.sequence_number),
    events.map((_, i) => i),
  );
  assert.equal(events[0].type, 'response.created');
  assert.equal(events.at(-1).type, 'response.completed');
});

test('responses.stream', async () => {
  const answer = await freshClient().responses.stream(RESPONSE).finalResponse();
  assert.equal(answer.output_text, HELLO);
});

test('models.list', async () => {
  const page = await rotated(freshClient().models.list());
  const ids = (await collect(page)).map((model) => model.id);
  assert.deepEqual(ids, ['mock-small', 'mock-large']);
});

test('models.retrieve of a name with a slash', async () => {
  const call = freshClient().models.retrieve('org/name');
  const response = await call.asResponse();
  assert.match(response.url, /\/models\/org%2Fname$/);
  assert.equal((await rotated(call)).id, 'org/name');
});

test('moderations.create', async () => {
  const answer = await rotated(freshClient().moderations.create({ input: 'Hello?' }));
  assert.equal(answer.results[0].flagged, false);
});

test('files.create', async () => {
  const file = new File([bytes(2_000_000)], 'data.jsonl');
  const answer = await rotated(freshClient().files.create({ file, purpose: 'assistants' }));
  assert.equal(answer.id, 'file-mock');
  assert.ok(answer.bytes > file.size);
});

test('files.create from a stream, which the client itself could not repeat', async () => {
  async function* pieces() {
    for (let i = 0; i < 20; i += 1) {
      yield bytes(50_000);
    }
  }
  const file = toStreamingFile(pieces(), 'data.jsonl');
  const answer = await rotated(freshClient().files.create({ file, purpose: 'assistants' }));
  assert.ok(answer.bytes > 1_000_000);
});

test('files.delete', async () => {
  const answer = await rotated(freshClient().files.delete('file-mock'));
  assert.deepEqual(answer, { id: 'file-mock', object: 'file', deleted: true });
});

test('ten calls at once, to a pool with bad keys', async () => {
  const client = freshClient();
  await rotated(client.models.list());
  const calls = Array.from({ length: 10 }, () => client.chat.completions.create(CHAT));
  const answers = await Promise.all(calls);
  answers.forEach((answer) => assert.equal(answer.choices[0].message.content, HELLO));
});

// --- What fails, in the classes of the client ----------------------------------------------------

const chatFailure = (pool, options) => failureOf(clientOf(pool, options).chat.completions.create(CHAT));

test('400 is a BadRequestError, after the bad keys', async () => {
  const error = await chatFailure('badrequest');
  assert.ok(error instanceof OpenAI.BadRequestError, error.stack);
  assert.equal(error.code, 'context_length_exceeded');
  assert.equal(error.type, 'invalid_request_error');
  assert.equal(error.headers.get('x-apipool-attempts'), '3');
});

test('404 is a NotFoundError, after the bad keys', async () => {
  const error = await chatFailure('notfound');
  assert.ok(error instanceof OpenAI.NotFoundError, error.stack);
  assert.equal(error.code, 'model_not_found');
  assert.equal(error.headers.get('x-apipool-attempts'), '3');
});

test('422 with a large body is an UnprocessableEntityError', async () => {
  const error = await chatFailure('unprocessable');
  assert.ok(error instanceof OpenAI.UnprocessableEntityError, error.stack);
  assert.equal(error.code, 'unprocessable');
  assert.doesNotMatch(error.message, /sk-422big/);
});

test('400 is a BadRequestError for a stream as well', async () => {
  const call = clientOf('badrequest').chat.completions.create({ ...CHAT, stream: true });
  const error = await failureOf(call);
  assert.ok(error instanceof OpenAI.BadRequestError, error.stack);
});

test('all keys cooling is a RateLimitError', async () => {
  const first = await chatFailure('cooling');
  assert.ok(first instanceof OpenAI.RateLimitError, first.stack);
  const error = await chatFailure('cooling');
  assert.ok(error instanceof OpenAI.RateLimitError, error.stack);
  assert.equal(error.status, 429);
  assert.equal(error.code, 'rate_limit_exceeded');
  assert.match(error.headers.get('retry-after'), /^[1-9]$/);
  assert.equal(error.headers.get('x-apipool-attempts'), '0');
});

test('the client waits as long as a cooling pool says', async () => {
  await chatFailure('waits');
  const counter = counted();
  const start = Date.now();
  const error = await chatFailure('waits', { maxRetries: 1, fetch: counter.fetch });
  assert.ok(error instanceof OpenAI.RateLimitError, error.stack);
  assert.equal(counter.calls, 2);
  assert.ok(Date.now() - start >= 950, 'a second, where the client alone would take half of one');
});

test('an exhausted pool is an APIError that is not retried', async () => {
  const first = await chatFailure('exhausted');
  assert.ok(first instanceof OpenAI.AuthenticationError, first.stack);
  assert.doesNotMatch(first.message, /sk-401-/);
  await eventually(async () => (await chatFailure('exhausted')).status === 503); // probes have told
  const counter = counted();
  const error = await chatFailure('exhausted', { maxRetries: 2, fetch: counter.fetch });
  assert.ok(error instanceof OpenAI.InternalServerError, error.stack);
  assert.ok(error instanceof OpenAI.APIError);
  assert.equal(error.status, 503);
  assert.equal(error.code, 'pool_exhausted');
  assert.equal(error.headers.get('x-should-retry'), 'false');
  assert.equal(counter.calls, 1);
});

// --- Streams that do not end well ----------------------------------------------------------------

// What came of a stream: its chunks, and the error that ended it, if any.
const drain = async (stream) => {
  const chunks = [];
  try {
    for await (const chunk of stream) {
      chunks.push(chunk);
    }
  } catch (error) {
    return { chunks, error };
  }
  return { chunks };
};

const streamOf = (pool, options) =>
  rotated(clientOf(pool).chat.completions.create({ ...CHAT, stream: true }, options));

test('a stream cut between two events is an APIError, after what came of it', async () => {
  const { chunks, error } = await drain(await streamOf('cut'));
  assert.ok(error instanceof OpenAI.APIError, error?.stack ?? 'the stream ended as if complete');
  assert.equal(error.code, 'upstream_truncated');
  assert.equal(error.type, 'server_error');
  assert.match(error.message, /ended the stream early/);
  assert.ok(chunks.length > 1);
  assert.ok(HELLO.startsWith(textOf(chunks)));
});

test('a stream of a response that is cut is an APIError', async () => {
  const stream = await clientOf('cut').responses.create({ ...RESPONSE, stream: true });
  const { chunks, error } = await drain(stream);
  assert.ok(error instanceof OpenAI.APIError, error?.stack ?? 'the stream ended as if complete');
  assert.equal(error.code, 'upstream_truncated');
  assert.equal(chunks[0].type, 'response.created');
});

test('a stream cut within a line throws upstream_truncated, too', async () => {
  const { chunks, error } = await drain(await streamOf('cutline'));
  assert.ok(error instanceof OpenAI.APIError);
  assert.equal(error.code, 'upstream_truncated');
  assert.ok(HELLO.startsWith(textOf(chunks)));
});

test('an answer cut in its body is an error', async () => {
  const error = await chatFailure('cut');
  assert.ok(error instanceof Error);
});

test('abort of a stream that flows, after which the pool is as before', async () => {
  const client = freshClient();
  const body = { ...CHAT, stream: true };
  const stream = await rotated(client.chat.completions.create(body, { query: { events: 500_000 } }));
  let count = 0;
  for await (const chunk of stream) {
    assert.equal(chunk.object, 'chat.completion.chunk');
    count += 1;
    if (count === 3) {
      stream.controller.abort();
    }
  }
  assert.ok(count >= 3 && count < 500_000);
  await eventually(async () => {
    const response = await client.chat.completions.create(CHAT).asResponse();
    assert.equal(response.status, 200);
    return response.headers.get('x-apipool-attempts') === '1'; // what a probe was told of the refused key
  });
});

// Aborts after a while; resolves to the time of it.
const abortLater = (controller) =>
  new Promise((resolve) => {
    setTimeout(() => {
      controller.abort();
      resolve(Date.now());
    }, 500);
  });

test('abort of a stream that stands still', async () => {
  const controller = new AbortController();
  const stream = await streamOf('stall', { signal: controller.signal });
  const aborted = abortLater(controller);
  const { chunks, error } = await drain(stream);
  assert.equal(error, undefined);
  assert.ok(chunks.length > 1 && chunks.length < 7, 'some of it came');
  assert.ok(Date.now() - (await aborted) < 2000, 'at once');
});

test('abort before an answer is an APIUserAbortError', async () => {
  const controller = new AbortController();
  const aborted = abortLater(controller);
  const call = clientOf('slow').chat.completions.create(CHAT, { signal: controller.signal });
  const error = await failureOf(call);
  assert.ok(error instanceof OpenAI.APIUserAbortError, error.stack);
  assert.ok(Date.now() - (await aborted) < 2000, 'at once');
});
