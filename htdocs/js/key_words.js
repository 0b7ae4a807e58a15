// SPDX-License-Identifier: Apache-2.0
// Pasted keys, read as the server reads them (src/core/key_paste.c): words between all kinds of separators, and YAML.

const SKIPPED = new Set(['bearer', 'export', 'set', '-', '*', '=', '=>', '->', ':']);
const YAML_NAMES = new Set(['api_key', 'api_keys', 'key', 'keys']);
const SECTIONS = new Set(['model_list', 'litellm_settings', 'general_settings', 'router_settings', 'environment_variables', 'api_keys', 'keys']);

const EFFECTS = { blank: ' \t\r\u3000\u00a0\u200b\ufeff', quote: '"\'`\u201c\u201d\u2018\u2019', end: ',;|\uff0c\u3001\uff1b\uff5c', name: '\uff1a\uff1d' };
const effects = new Map(Object.entries(EFFECTS).flatMap(([effect, characters]) => [...characters].map((c) => [c, effect])));

const TOKEN = /[!$%&()*+./0-9<>?@A-Z\\^_a-z~-]+|[^]/gu;

const isName = (text) => /^(?!\d)[\w\-.$:]+$/.test(text);

/** "value" of "name=value", unless that is the padding of Base64. */
function valueOf(word) {
  let value = word;
  for (let at = value.indexOf('='); at > 0 && at + 1 < value.length && value[at + 1] !== '=' && isName(value.slice(0, at)); at = value.indexOf('=')) {
    value = value.slice(at + 1);
  }
  return value;
}

class Words {
  #word = '';

  #gap = true; // after a blank, or at the beginning of a line

  #quoted = false; // the word stands in quotes

  #isNamed = false; // YAML: the words are values of a name that keys have

  #inComment = false;

  constructor(line, isYaml, take) {
    this.line = line;
    this.isYaml = isYaml;
    this.take = take;
  }

  #endName() {
    this.#isNamed = this.isYaml && YAML_NAMES.has(this.#word.toLowerCase());
    this.#word = '';
  }

  end() {
    const word = this.#word;
    if (word.endsWith(':') && isName(word.slice(0, -1))) {
      this.#word = word.slice(0, -1);
      this.#endName();
      return;
    }
    if (word && !SKIPPED.has(word.toLowerCase()) && (!this.isYaml || this.#isNamed)) {
      this.take(valueOf(word), this.line);
    }
    this.#word = '';
  }

  #endLine() {
    this.end();
    this.line++;
    this.#gap = true;
    this.#quoted = false;
    this.#inComment = false;
  }

  /** A quote behind "name=" makes that a name, unless it closes the quoted word "padding=". */
  #act(effect) {
    this.#gap = effect === 'blank' || effect === 'quote';
    if (effect === 'quote') {
      if (!this.#quoted && this.#word.endsWith('=')) {
        this.#word = '';
      }
      this.#quoted = !this.#word;
    } else if (effect === 'end') {
      this.end();
    } else if (effect === 'name') {
      this.#endName();
    }
  }

  /** A word before a blank waits for what comes next: "=" and ":" make it a name. */
  read(token) {
    if (token === '\n') {
      this.#endLine();
      return;
    }
    if (this.#inComment) {
      return;
    }
    const effect = effects.get(token) ?? (this.isYaml && '{}[]'.includes(token) ? 'end' : '');
    const isPart = !effect || token > '\x7f';
    if (isPart && this.#gap && this.#word) {
      if (token === '=' || token === ':') {
        this.#endName();
        return;
      }
      this.end();
    }
    if (token === '#' && this.#gap) {
      this.#inComment = true;
      return;
    }
    if (isPart) {
      this.#quoted &&= this.#word !== '' || this.#gap;
      this.#gap = false;
    }
    if (effect) {
      this.#act(effect);
    } else {
      this.#word += token;
    }
  }
}

/** Whether a text is LiteLLM's config.yaml: it begins with one of its sections. */
export const isYaml = (line) => line.includes(':') && SECTIONS.has(line.slice(0, line.indexOf(':')).toLowerCase());

/** Tells take(word, line) of each word that may be a key; with yaml, of the values of "api_key" and its like alone. */
export function readWords(text, take, { line = 1, yaml = false } = {}) {
  const words = new Words(line, yaml, take);
  for (const [token] of text.matchAll(TOKEN)) {
    words.read(token);
  }
  words.end();
}
