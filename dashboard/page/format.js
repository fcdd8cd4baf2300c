// Numbers, times and sizes as people read them. Pure functions.

const WHOLE = new Intl.NumberFormat("en-US");
const SHORT = new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 1 });

/** 1042 -> "1,042" */
export const whole = (number) => WHOLE.format(number);

/** 10420 -> "10.4K", for columns that must stay narrow. */
export const count = (number) => (number < 10_000 ? WHOLE.format(number) : SHORT.format(number));

/** Messages a second: "", "0.2/s", "12/s". */
export function rate(perSecond) {
  if (!(perSecond >= 0.005)) return "";
  if (perSecond < 0.1) return `${perSecond.toFixed(2)}/s`;
  return `${perSecond < 10 ? perSecond.toFixed(1) : count(Math.round(perSecond))}/s`;
}

/** A number of a chart: 6 digits that mean something, or all before the point. */
export function value(number) {
  if (number === null || number === undefined) return "–";
  const size = Math.abs(number);
  return String(size >= 1e6 && size < 1e15 ? Math.round(number) : Number(number.toPrecision(6)));
}

/** Numbers so far apart, with the decimals that tell them from each other. */
export function ticks(numbers, step) {
  const decimals = Math.min(20, Math.max(0, Math.ceil(-Math.log10(step))));
  return numbers.map((number) => String(Number(number.toFixed(decimals))));
}

const SIZES = ["B", "KiB", "MiB", "GiB", "TiB"];

export function bytes(size) {
  let unit = 0;
  while (size >= 1024 && unit < SIZES.length - 1) {
    size /= 1024;
    unit += 1;
  }
  return `${unit === 0 || size >= 100 ? Math.round(size) : size.toFixed(1)} ${SIZES[unit]}`;
}

/** How long ago, in one unit: "now", "7 s", "4 min", "3 h", "12 d". */
export function age(ms) {
  const seconds = Math.floor(ms / 1000);
  if (seconds < 1) return "now";
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3_600)} h`;
  return `${Math.floor(seconds / 86_400)} d`;
}

/** A duration in two units: "3 d 4 h", "2 min 5 s". */
export function duration(seconds) {
  const parts = [
    ["d", 86_400],
    ["h", 3_600],
    ["min", 60],
    ["s", 1],
  ];
  let left = Math.max(0, Math.floor(seconds));
  const found = [];
  for (const [unit, size] of parts) {
    const many = Math.floor(left / size);
    left -= many * size;
    if (many || (unit === "s" && !found.length)) found.push(`${many} ${unit}`);
  }
  return found.slice(0, 2).join(" ");
}

const pad = (number, digits = 2) => String(number).padStart(digits, "0");

/** The time of day where the reader is, with milliseconds: "14:03:07.512". */
export function clock(ms) {
  const time = new Date(ms);
  const day = `${pad(time.getHours())}:${pad(time.getMinutes())}:${pad(time.getSeconds())}`;
  return `${day}.${pad(time.getMilliseconds(), 3)}`;
}

/** The day and the time: "2026-11-23 14:03:07.512"; the day is left out when it is today. */
export function moment(ms, nowMs) {
  const time = new Date(ms);
  if (time.toDateString() === new Date(nowMs).toDateString()) return clock(ms);
  return `${day(ms)} ${clock(ms)}`;
}

export function day(ms) {
  const time = new Date(ms);
  return `${time.getFullYear()}-${pad(time.getMonth() + 1)}-${pad(time.getDate())}`;
}

/** "gone" -> "Gone." */
export const sentence = (text) =>
  text ? `${text[0].toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}` : "";

/** "1 topic", "2 topics" */
export const plural = (number, word) => `${whole(number)} ${word}${number === 1 ? "" : "s"}`;
