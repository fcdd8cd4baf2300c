// The chart as a picture and as a table, to take away.

import { csvLine } from "../page/download.js";
import { colours } from "./chart_plot.js";

const HEAD = 44;
const MARGIN = 14;

/** A PNG of the drawn canvas, with a title and a legend above it. */
export function picture(canvas, list, title) {
  const scale = devicePixelRatio;
  const palette = colours();
  const whole = document.createElement("canvas");
  whole.width = canvas.width + 2 * MARGIN * scale;
  whole.height = canvas.height + (HEAD + MARGIN) * scale;
  const ctx = whole.getContext("2d");
  ctx.fillStyle = palette.paper;
  ctx.fillRect(0, 0, whole.width, whole.height);
  ctx.scale(scale, scale);
  ctx.font = palette.font;
  ctx.fillStyle = palette.faint;
  ctx.fillText(title, MARGIN, 18);
  let left = MARGIN;
  list.forEach((series, at) => {
    ctx.fillStyle = palette.lines[at % palette.lines.length];
    ctx.fillRect(left, 28, 10, 10);
    ctx.fillStyle = palette.ink;
    ctx.fillText(series.name, left + 15, 37);
    left += ctx.measureText(series.name).width + 34;
  });
  ctx.setTransform(1, 0, 0, 1, 0, 0);
  ctx.drawImage(canvas, MARGIN * scale, HEAD * scale);
  return new Promise((resolve) => {
    whole.toBlob(resolve, "image/png");
  });
}

/** CSV: a line for each bucket of each series, oldest first. */
export function table(list) {
  const lines = [csvLine(["time", "topic", "field", "count", "min", "max", "avg"])];
  for (const series of list) {
    series.times.forEach((time, at) => {
      lines.push(
        csvLine([
          new Date(time * 1000).toISOString(),
          series.topic,
          series.field,
          series.counts[at],
          series.min[at],
          series.max[at],
          series.avg[at],
        ]),
      );
    });
  }
  return new Blob(lines, { type: "text/csv" });
}
