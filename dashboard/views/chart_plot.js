// Draws lines with uPlot: axes, band between minimum and maximum, gaps, the values under the
// pointer, and the selection by dragging. Does not: know where numbers come from.

import * as format from "../page/format.js";

const uPlot = globalThis.uPlot;
const DAY_S = 86_400;

/** The colours of the page as it is now, light or dark. */
export function colours() {
  const style = getComputedStyle(document.documentElement);
  const of = (name) => style.getPropertyValue(name).trim();
  return {
    lines: [1, 2, 3, 4, 5, 6].map((at) => of(`--line-${at}`)),
    ink: of("--ink"),
    faint: of("--ink-2"),
    grid: of("--rule"),
    paper: of("--paper"),
    gap: of("--gap"),
    font: `${of("--axis")} ${of("--font")}`,
  };
}

export class ChartPlot {
  #plot = null;
  #shape = "";
  #gaps = [];

  /** `onselect(from, to)` in seconds; `onhover(index | null)`. */
  constructor(host, { onselect, onhover, onreset }) {
    this.host = host;
    this.onselect = onselect;
    this.onhover = onhover;
    this.onreset = onreset;
    new ResizeObserver(() => this.#resize()).observe(host);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      this.#shape = "";
      if (this.last) this.draw(...this.last);
    });
  }

  get canvas() {
    return this.#plot?.ctx.canvas ?? null;
  }

  /** Draw aligned series from `from` to `to` (seconds). `apart`: each line with its own scale. */
  draw(data, from, to, apart) {
    if (!this.host.clientWidth) return;
    this.last = [data, from, to, apart];
    this.#gaps = data.gaps.length === 1 ? data.gaps[0] : [];
    const columns = [data.axis, ...data.columns];
    if (data.low) columns.push(data.low, data.high);
    const shape = `${data.columns.length} ${Boolean(data.low)} ${apart}`;
    this.range = [from, to];
    if (shape !== this.#shape || !this.#plot) {
      this.#shape = shape;
      this.#make(data, columns, apart);
    } else {
      this.#plot.setData(columns, false);
    }
    this.#plot.setScale("x", { min: from, max: to });
  }

  clear() {
    this.#plot?.destroy();
    this.#plot = null;
    this.#shape = "";
    this.last = null;
  }

  #resize() {
    const { clientWidth: width, clientHeight: height } = this.host;
    if (!this.#plot) {
      if (this.last) this.draw(...this.last);
    } else if (width && (this.#plot.width !== width || this.#plot.height !== height)) {
      this.#plot.setSize({ width, height });
    }
  }

  #make(data, columns, apart) {
    this.#plot?.destroy();
    this.host.replaceChildren();
    const palette = colours();
    const lines = data.columns.map((_, at) => ({
      stroke: palette.lines[at % palette.lines.length],
      width: 1.6,
      scale: apart ? `y${at}` : "y",
      points: { size: 4 },
    }));
    const bands = [];
    if (data.low) {
      const edge = {
        stroke: "transparent",
        width: 0,
        scale: apart ? "y0" : "y",
        points: { show: false },
      };
      lines.push(edge, { ...edge });
      bands.push({ series: [3, 2], fill: `${palette.lines[0]}2e` });
    }
    this.#plot = new uPlot(
      {
        width: this.host.clientWidth,
        height: this.host.clientHeight,
        pxAlign: 1,
        padding: [10, 12, 0, 4],
        legend: { show: false },
        bands,
        cursor: {
          drag: { x: true, y: false, setScale: false },
          points: { size: 7 },
          bind: { dblclick: () => () => this.onreset() },
        },
        scales: { x: { time: true, range: () => this.range } },
        axes: [
          this.#axis(palette, { size: 26, space: apartBy, values: times }),
          ...this.#sides(data, apart, palette),
        ],
        series: [{}, ...lines],
        hooks: {
          setSelect: [(plot) => this.#selected(plot)],
          setCursor: [(plot) => this.onhover(plot.cursor.left >= 0 ? plot.cursor.idx : null)],
          drawClear: [(plot) => this.#shadeGaps(plot, palette)],
        },
      },
      columns,
      this.host,
    );
  }

  #axis(palette, more) {
    return {
      stroke: palette.faint,
      font: palette.font,
      grid: { stroke: palette.grid, width: 1 },
      ticks: { stroke: palette.grid, width: 1, size: 4 },
      gap: 6,
      ...more,
    };
  }

  /** One scale on the left; apart, the first has the left side and the second the right one. */
  #sides(data, apart, palette) {
    const values = (_, numbers, __, ___, step) => format.ticks(numbers, step);
    if (!apart) return [this.#axis(palette, { scale: "y", size: room(palette.font), values })];
    return data.columns.slice(0, 2).map((_, at) =>
      this.#axis(palette, {
        scale: `y${at}`,
        size: room(palette.font),
        values,
        side: at ? 1 : 3,
        stroke: palette.lines[at],
        grid: { show: at === 0, stroke: palette.grid, width: 1 },
      }),
    );
  }

  #selected(plot) {
    const { left, width } = plot.select;
    if (width < 4) return;
    const [from, to] = [plot.posToVal(left, "x"), plot.posToVal(left + width, "x")];
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    this.onselect(from, to);
  }

  #shadeGaps(plot, palette) {
    const { ctx } = plot;
    ctx.save();
    ctx.fillStyle = palette.gap;
    for (const [from, to] of this.#gaps) {
      const left = Math.max(plot.bbox.left, plot.valToPos(from, "x", true));
      const right = Math.min(plot.bbox.left + plot.bbox.width, plot.valToPos(to, "x", true));
      if (right > left) ctx.fillRect(left, plot.bbox.top, right - left, plot.bbox.height);
    }
    ctx.restore();
  }
}

/** Between two times on the axis: closer together where the chart is narrow. */
const apartBy = (_, __, ___, ____, width) => Math.max(52, Math.min(70, width / 5));

/** Room beside the chart, for the longest number that stands there. */
const room = (font) => (_, numbers) =>
  18 + 0.6 * parseFloat(font) * Math.max(2, ...(numbers ?? []).map(({ length }) => length));

/** Times on the axis as everywhere else on the page: 24 hours, seconds only where they tell. */
function times(_, ticks, __, ___, step) {
  return ticks.map((tick) => {
    const time = format.clock(tick * 1000);
    if (step >= DAY_S) return format.day(tick * 1000).slice(5);
    if (time.startsWith("00:00:00")) return format.day(tick * 1000).slice(5);
    return step < 60 ? time.slice(0, 8) : time.slice(0, 5);
  });
}
