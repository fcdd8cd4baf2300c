// A line without axes: the course of one figure while one looks.

const POINTS = 120;
// Fewer are drawn as if they were so many: three points are no course.
const FEWEST = 30;
const WIDE = 119;
const SVG = "http://www.w3.org/2000/svg";

export class Sparkline {
  #values = [];

  constructor(label) {
    this.root = document.createElementNS(SVG, "svg");
    for (const [name, value] of Object.entries({
      class: "sparkline",
      viewBox: "0 0 119 30",
      preserveAspectRatio: "none",
      role: "img",
      "aria-label": label,
    })) {
      this.root.setAttribute(name, value);
    }
    this.line = document.createElementNS(SVG, "polyline");
    this.root.append(this.line);
  }

  add(value) {
    if (!Number.isFinite(value)) return;
    this.#values.push(value);
    if (this.#values.length > POINTS) this.#values.shift();
    const many = Math.max(this.#values.length, FEWEST);
    const most = Math.max(...this.#values, 1e-9);
    const from = many - this.#values.length;
    const across = (place) => ((WIDE * place) / (many - 1)).toFixed(1);
    const points = this.#values.map(
      (one, at) => `${across(from + at)},${(28 - (26 * one) / most).toFixed(1)}`,
    );
    this.line.setAttribute("points", points.join(" "));
  }
}
