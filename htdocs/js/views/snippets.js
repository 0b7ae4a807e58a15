// SPDX-License-Identifier: Apache-2.0
// How a client's key is used: where, and ready to be pasted. Base, key and model are put into quotes of the language.
import { state } from '../state.js';

/** Where the pool is reached. A location of this virtual host is, by the scheme and host that the browser knows. */
const urlOf = ({ here, path, url }) => (here ? location.origin + path : url);

/**
 * Where these pools are used, or all if there are none: [{ pool, url, conditional }]. First come those for all requests, of them
 * those of this virtual host, of them those of the pool that is looked at.
 */
export function addresses(names) {
  const rank = (name, one) => (one.conditional ? 4 : 0) + (one.here ? 0 : 2) + (name === state.pool ? 0 : 1);
  return state.pools.filter(({ name }) => !names.length || names.includes(name))
    .flatMap(({ name, locations }) => locations.map((one) => ({ pool: name, url: urlOf(one), conditional: one.conditional, rank: rank(name, one) })))
    .sort((a, b) => a.rank - b.rank);
}

const shell = (text) => `'${text.replaceAll("'", "'\\''")}'`;

const quoted = (text) => JSON.stringify(text);

export const snippets = {
  curl: (base, key, model) => `curl ${shell(`${base}/chat/completions`)} \\
  -H ${shell(`Authorization: Bearer ${key}`)} \\
  -H 'Content-Type: application/json' \\
  -d ${shell(`{"model": ${quoted(model)}, "messages": [{"role": "user", "content": "Hello"}]}`)}`,

  python: (base, key, model) => `from openai import OpenAI

client = OpenAI(
    base_url=${quoted(base)},
    api_key=${quoted(key)},
)
answer = client.chat.completions.create(
    model=${quoted(model)},
    messages=[{"role": "user", "content": "Hello"}],
)
print(answer.choices[0].message.content)`,

  javascript: (base, key, model) => `import OpenAI from 'openai';

const client = new OpenAI({
  baseURL: ${quoted(base)},
  apiKey: ${quoted(key)},
});
const answer = await client.chat.completions.create({
  model: ${quoted(model)},
  messages: [{ role: 'user', content: 'Hello' }],
});
console.log(answer.choices[0].message.content);`,
};
