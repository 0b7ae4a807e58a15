// SPDX-License-Identifier: Apache-2.0
// How a client's key is used: ready to be pasted. Base, key and model are put into quotes of the language.

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
