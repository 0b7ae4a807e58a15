// SPDX-License-Identifier: Apache-2.0
// Numbers, times and amounts as the viewer reads them; what is not known is a dash.
import { locale, t } from './i18n.js';

export const NONE = '–';

const known = (value) => value !== null && value !== undefined;

const formats = new Map();

/** Making a format takes longer than using it. */
function format(Kind, options) {
  const name = `${Kind.name} ${locale()} ${JSON.stringify(options)}`;
  if (!formats.has(name)) {
    formats.set(name, new Kind(locale(), options));
  }
  return formats.get(name);
}

export const number = (value) => (known(value) ? format(Intl.NumberFormat, {}).format(value) : NONE);

/** 12,345,678 as 12.3M, or as Chinese counts. */
export const compact = (value) => (known(value)
  ? format(Intl.NumberFormat, { notation: 'compact', maximumFractionDigits: 1, useGrouping: 'always' }).format(value) : NONE);

export const percent = (value) => (known(value)
  ? format(Intl.NumberFormat, { style: 'percent', maximumFractionDigits: 1 }).format(value) : NONE);

/** Milliseconds, as seconds where there are many. */
export function duration(ms) {
  if (!known(ms)) {
    return NONE;
  }
  return ms < 1000
    ? t('unit.ms', { n: ms < 10 ? Math.round(ms * 10) / 10 : Math.round(ms) })
    : t('unit.s', { n: Math.round(ms / (ms < 10000 ? 10 : 100)) / (ms < 10000 ? 100 : 10) });
}

/** Seconds, in the two largest units. */
export function seconds(value) {
  const s = Math.max(0, Math.ceil(value));
  if (s < 60) {
    return t('unit.s', { n: s });
  }
  if (s < 3600) {
    return `${t('unit.min', { n: Math.floor(s / 60) })}${s % 60 ? ` ${t('unit.s', { n: s % 60 })}` : ''}`;
  }
  const minutes = Math.round(s / 60);
  return `${t('unit.h', { n: Math.floor(minutes / 60) })}${minutes % 60 ? ` ${t('unit.min', { n: minutes % 60 })}` : ''}`;
}

const secondsUntil = (when) => (Date.parse(when) - Date.now()) / 1000;

/** How long it is until then; null when that is over, or there is no such time. */
export function countdown(when) {
  return when && secondsUntil(when) > 0 ? seconds(secondsUntil(when)) : null;
}

export const clock = (when) => format(Intl.DateTimeFormat, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' })
  .format(new Date(when));

const isToday = (when) => new Date(when).toDateString() === new Date().toDateString();

function timeWith(day, when) {
  return format(Intl.DateTimeFormat,
    { ...day, hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' }).format(new Date(when));
}

const DAY = { year: 'numeric', month: 'short', day: 'numeric' };

/** The time of day, with the date when it is not today's. */
export const time = (when) => (when ? timeWith(isToday(when) ? {} : DAY, when) : NONE);

/** Times of one list in one form: all with the date unless all are today's. */
export const times = (list) => list.map((when) => timeWith(list.every(isToday) ? {} : DAY, when));

const steps = [['second', 60], ['minute', 60], ['hour', 24], ['day', 30], ['month', 12], ['year', Infinity]];

const JUST_NOW = 10; // seconds

/** "3 minutes ago"; Chinese has a blank between digits and words here, as everywhere on the page. */
export function ago(when) {
  if (!when) {
    return NONE;
  }
  let value = Math.min(0, secondsUntil(when));
  if (value > -JUST_NOW) {
    return t('unit.now');
  }
  for (const [unit, size] of steps) {
    if (Math.abs(value) < size) {
      return format(Intl.RelativeTimeFormat, { numeric: 'auto', style: 'narrow' }).format(Math.trunc(value), unit)
        .replace(/(?<=\d)(?=\p{Script=Han})/u, ' ');
    }
    value /= size;
  }
  return NONE;
}

export const money = (amount, currency) => [format(Intl.NumberFormat,
  { minimumFractionDigits: 2, maximumFractionDigits: 2 }).format(amount), currency].filter(Boolean).join(' ');

/** All amounts of a balance: one for each currency. */
export const moneys = (amounts) => amounts.map(({ amount, currency }) => money(amount, currency)).join(' + ');

export const bytes = (value) => (value >= 1048576
  ? `${number(Math.round(value / 104857.6) / 10)} MiB` : `${number(Math.round(value / 1024))} KiB`);
