// SPDX-License-Identifier: Apache-2.0
// JSON as strictly as the server reads it, and with the line of what is wrong, which JSON.parse() does not always tell.

const DEPTH_MAX = 16;
const VALUES_MAX = 1000000;

/** A text that is no JSON. */
export class Malformed extends Error {
  constructor(line) {
    super(`malformed in line ${line}`);
    this.line = line;
  }
}

const SPACE = /[ \t\n\r]*/y;
const TOKEN = /[[\]{}:,]|"[^"\\\x00-\x1f]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*)*"|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?|true|false|null/y;
const LITERALS = new Map([['true', true], ['false', false], ['null', null]]);
const LARGEST = 2n ** 63n;

class Json {
  #text;

  #at = 0;

  constructor(text) {
    this.#text = text;
  }

  read() {
    const value = this.#value(this.#next());
    SPACE.lastIndex = this.#at;
    SPACE.exec(this.#text);
    if (SPACE.lastIndex < this.#text.length) {
      this.#fail(SPACE.lastIndex);
    }
    return value;
  }

  #fail(at) {
    throw new Malformed(this.#text.slice(0, at).split('\n').length);
  }

  #next() {
    SPACE.lastIndex = this.#at;
    SPACE.exec(this.#text);
    TOKEN.lastIndex = SPACE.lastIndex;
    const found = TOKEN.exec(this.#text);
    if (!found) {
      this.#fail(SPACE.lastIndex);
    }
    this.#at = TOKEN.lastIndex;
    return found[0];
  }

  #value(token) {
    if (token === '[') {
      return this.#array();
    }
    if (token === '{') {
      return this.#object();
    }
    if (token[0] === '"') {
      return this.#string(token);
    }
    if (LITERALS.has(token)) {
      return LITERALS.get(token);
    }
    return /[-0-9]/.test(token[0]) ? this.#number(token) : this.#fail(this.#at);
  }

  #number(token) {
    const isWhole = /^-?\d+$/.test(token);
    const whole = isWhole && BigInt(token);
    if (isWhole ? whole >= LARGEST || whole < -LARGEST : !Number.isFinite(Number(token))) {
      this.#fail(this.#at);
    }
    return isWhole ? Number(token) : NaN;
  }

  #string(token) {
    if (!token.includes('\\')) {
      return token.slice(1, -1);
    }
    const text = JSON.parse(token);
    if (/\p{Surrogate}/u.test(text)) {
      this.#fail(this.#at);
    }
    return text;
  }

  /** The elements of an array or the members of an object, one after the other. */
  #list(end, take) {
    let token = this.#next();
    while (token !== end) {
      take(token);
      token = this.#next();
      if (token === ',') {
        token = this.#next();
        if (token === end) {
          this.#fail(this.#at);
        }
      } else if (token !== end) {
        this.#fail(this.#at);
      }
    }
  }

  #array() {
    const list = [];
    this.#list(']', (token) => list.push(this.#value(token)));
    return list;
  }

  #object() {
    const object = Object.create(null);
    this.#list('}', (token) => {
      const name = token[0] === '"' ? this.#string(token) : this.#fail(this.#at);
      if (name in object || name.includes('\0') || this.#next() !== ':') {
        this.#fail(this.#at);
      }
      object[name] = this.#value(this.#next());
    });
    return object;
  }
}

/** No member twice, no half of a character. Numbers that are not whole are NaN. Throws Malformed. */
export const readJson = (text) => new Json(text).read();

/** Whether it has more values, or is deeper, than the server reads; counted as it counts, outside of strings. */
export function isExcess(text) {
  let depth = 0;
  let values = 0;
  for (const [token] of text.matchAll(/"[^"\\]*(?:\\[^][^"\\]*)*"?|[[{]|[\]}]|,/g)) {
    if (token === '[' || token === '{') {
      values++;
      if (++depth > DEPTH_MAX) {
        return true;
      }
    } else if (token === ']' || token === '}') {
      depth--;
    } else if (token === ',') {
      values++;
    }
  }
  return values > VALUES_MAX;
}
