// SPDX-License-Identifier: Apache-2.0
// Charts over time with Chart.js, where it is installed. Beside each one stands a table of the same numbers.
import { clock, times as timesOf } from '../format.js';
import { t } from '../i18n.js';
import { patch } from '../patch.js';
import { html } from '../template.js';

let library = null;

/** Loads Chart.js once; resolves with null where it is not installed. */
export function loadCharts() {
  library ??= new Promise((resolve) => {
    const script = document.createElement('script');
    script.src = 'vendor/chart.min.js';
    script.onload = () => resolve(window.Chart);
    script.onerror = () => resolve(null);
    document.head.append(script);
  });
  return library;
}

/** A colour of the stylesheet as the theme has it now. */
function colour(name) {
  const probe = document.createElement('span');
  probe.className = `ink-${name}`;
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}

const fade = (rgb) => rgb.replace(/^rgb\((.*)\)$/, 'rgba($1, 0.16)');

/** A value without neighbours is a dot, since no line leads to it. */
const alone = (values) => values.map((value, i) => (value !== null && (values[i - 1] ?? null) === null && (values[i + 1] ?? null) === null ? 3 : 0));

function datasets(lines, kind) {
  return lines.map(({ label, ink, values }) => {
    const stroke = colour(ink);
    return kind === 'bar'
      ? { label, data: values, backgroundColor: stroke, borderRadius: 2, stack: 'all' }
      : { label, data: values, borderColor: stroke, backgroundColor: fade(stroke), borderWidth: 2, pointRadius: alone(values),
        pointHitRadius: 12, tension: 0.3, spanGaps: true, fill: lines.length === 1 || ink === 'first' };
  });
}

function options(kind, show) {
  const text = colour('soft');
  const grid = colour('line');
  const font = { family: getComputedStyle(document.body).fontFamily, size: 11 };
  return {
    animation: false,
    responsive: true,
    maintainAspectRatio: false,
    interaction: { mode: 'index', intersect: false },
    plugins: {
      legend: { position: 'bottom', labels: { color: text, boxWidth: 10, boxHeight: 10, font } },
      tooltip: { callbacks: { label: (item) => t('list.of', { name: item.dataset.label, value: show(item.raw) }) } },
    },
    scales: {
      x: { stacked: kind === 'bar', grid: { display: false }, ticks: { color: text, maxTicksLimit: 7, maxRotation: 0, font } },
      y: { stacked: kind === 'bar', beginAtZero: true, grid: { color: grid, drawBorder: false },
        ticks: { color: text, maxTicksLimit: 5, callback: (value) => show(value), font } },
    },
  };
}

/** A chart in a place of its own. draw({ kind, times, lines: [{ label, ink, values }], show, title }) again and again. */
export class TimeChart {
  #chart = null;

  constructor(place) {
    this.place = place;
  }

  async draw(what) {
    this.what = what;
    const Chart = await loadCharts();
    if (this.what !== what || !this.place.isConnected) {
      return;
    }
    this.#chart ??= this.#prepare(Chart);
    patch(this.place.querySelector('tbody'), tableRows(what));
    patch(this.place.querySelector('thead'), tableHead(what));
    if (!this.#chart) {
      return;
    }
    this.#chart.canvas.setAttribute('aria-label', what.title);
    this.#chart.data = { labels: what.times.map(clock), datasets: datasets(what.lines, what.kind) };
    this.#chart.options = options(what.kind, what.show);
    this.#chart.update();
  }

  #prepare(Chart) {
    patch(this.place, html`<div class="canvas" data-keep>${Chart ? html`<canvas role="img"></canvas>` : html`<p class="hint">${t('chart.missing')}</p>`}</div>
      <details class="numbers"><summary>${t('chart.table')}</summary><div class="scroll" tabindex="0" role="group" aria-label="${this.what.title}">
      <table><thead></thead><tbody></tbody></table></div></details>`);
    return Chart ? new Chart(this.place.querySelector('canvas'), { type: this.what.kind, data: {}, options: options(this.what.kind, this.what.show) }) : null;
  }

  close() {
    this.#chart?.destroy();
    this.#chart = null;
  }
}

const tableHead = ({ lines }) => html`<tr><th scope="col">${t('chart.time')}</th>${lines.map(({ label }) => html`<th scope="col">${label}</th>`)}</tr>`;

const tableRows = ({ times, lines, show }) => timesOf(times).map((when, i) => html`<tr><th scope="row">${when}</th>
  ${lines.map(({ values }) => html`<td>${values[i] === null ? '–' : show(values[i])}</td>`)}</tr>`).reverse();
