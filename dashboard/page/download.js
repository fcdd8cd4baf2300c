// Hands the reader a file that the page has made.

import { el } from "./dom.js";

export function download(name, blob) {
  const address = URL.createObjectURL(blob);
  el("a", { href: address, download: name }).click();
  // The browser has begun to read it by the next turn but one; a minute is generous.
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

/** A file name made of a topic: no character that a file system minds. */
export function fileName(topic, ending) {
  return `${
    topic
      .replace(/[^\w.-]+/g, "_")
      .replace(/^_+|_+$/g, "")
      .slice(0, 80) || "chart"
  }.${ending}`;
}

/** One line of CSV; a cell that a spreadsheet would run as a formula gets an apostrophe. */
export function csvLine(cells) {
  const quote = (cell) => {
    let text = String(cell ?? "");
    if (typeof cell === "string" && /^[=+\-@\t\r]/.test(text)) text = `'${text}`;
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return `${cells.map(quote).join(",")}\r\n`;
}
