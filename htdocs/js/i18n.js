// SPDX-License-Identifier: Apache-2.0
// The language of the page: the one that was chosen, else the browser's.
import { load, save } from './storage.js';
import en from './i18n/en.js';
import zh from './i18n/zh.js';

const tables = { en, zh };
const locales = { en: 'en', zh: 'zh-CN' };

export const languages = { en: 'English', zh: '中文' };

let language = 'en';
let plurals = null;
let numbers = null;

/** The browser's own locale where it is of the page's language: it knows how dates are written there. */
export function locale() {
  return navigator.languages.find((name) => name.split('-')[0] === language) ?? locales[language];
}

export const currentLanguage = () => language;

export function setLanguage(name) {
  language = name in tables ? name : 'en';
  plurals = new Intl.PluralRules(locales[language]);
  numbers = new Intl.NumberFormat(locale());
  document.documentElement.lang = locales[language];
}

export function chooseLanguage(name) {
  save('language', name);
  setLanguage(name);
}

export function startLanguage() {
  const browser = navigator.languages.map((name) => name.split('-')[0]).find((name) => name in tables);
  setLanguage(load('language') ?? browser ?? 'en');
}

const show = (value) => (typeof value === 'number' ? numbers.format(value) : String(value));

/** A text of the table with {name} replaced; of a list, the form for the number count. */
export function t(name, values = {}) {
  let text = tables[language][name];
  if (Array.isArray(text)) {
    text = text[plurals.select(values.count) === 'one' ? 0 : 1];
  }
  return (text ?? name).replace(/\{(\w+)\}/g, (all, key) => (key in values ? show(values[key]) : all));
}

/** Whether there is a text of that name. */
export const hasText = (name) => name in tables[language];
