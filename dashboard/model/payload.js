// What a payload is: number, JSON, text or bytes, and how it is written out. Pure functions.
// A payload is somebody else's text. Nothing here makes markup of it.

const encoder = new TextEncoder();

/** The bytes of a message's payload. */
export function bytesOf(message) {
  if (message.encoding !== "base64") return encoder.encode(message.payload);
  return Uint8Array.from(atob(message.payload), (letter) => letter.charCodeAt(0));
}

/** How many bytes there are, without making them. */
export function sizeOf(message) {
  const { payload } = message;
  if (message.encoding === "base64") {
    return (payload.length / 4) * 3 - (payload.endsWith("==") ? 2 : payload.endsWith("=") ? 1 : 0);
  }
  return encoder.encode(payload).length;
}

/** Parse a payload that is JSON; undefined when it is none. */
export function jsonOf(message) {
  if (message.encoding === "base64") return undefined;
  try {
    return JSON.parse(message.payload);
  } catch {
    return undefined;
  }
}

/** One short line for a list. Longer payloads are cut: what one cannot see need not be kept. */
export function line(message, letters = 200) {
  if (message.encoding === "base64") {
    return `${sizeOf(message)} bytes: ${hexLine(
      bytesOf({ ...message, payload: message.payload.slice(0, 44) }).slice(0, 32),
    )}`;
  }
  const { payload } = message;
  if (payload === "") return "(empty)";
  const cut = payload.length > letters ? `${payload.slice(0, letters)}…` : payload;
  return cut.replace(/\s+/g, " ");
}

/** Flat JSON as people would say it: `{"value":4.5,"unit":"bar"}` -> `value 4.5, unit bar`. */
export function spoken(text) {
  if (text[0] !== "{") return text;
  return text
    .replace(/^\{\s*|\s*\}$/g, "")
    .replace(/"([^"\\]*)"(\s*:\s*)?/g, (_, words, colon) => (colon ? `${words} ` : words))
    .replace(/,\s*/g, ", ");
}

/** A copy that does not hold on to the long text that it was cut out of. */
export const detached = (text) => (text.length > 12 ? JSON.parse(JSON.stringify(text)) : text);

const hexLine = (some) => [...some].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");

/** Bytes as editors show them: offset, sixteen bytes, and the letters among them. */
export function hexDump(bytes) {
  const lines = [];
  for (let at = 0; at < bytes.length; at += 16) {
    const some = bytes.subarray(at, at + 16);
    const letters = [...some]
      .map((byte) => (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : "·"))
      .join("");
    const left = hexLine(some.subarray(0, 8)).padEnd(23);
    const right = hexLine(some.subarray(8)).padEnd(23);
    lines.push(`${at.toString(16).padStart(6, "0")}  ${left}  ${right}  ${letters}`);
  }
  return lines.join("\n") || "(empty)";
}

const PIECE = /"(?:\\.|[^"\\])*"|[{}[\],:]|[^\s{}[\],:"]+/g;
// Deeper levels are not indented further: a payload of brackets alone would fill the memory.
const DEEPEST = 40;

/**
 * Lay out JSON that is valid, up to so many letters. Each value stays as it was written: 1.0 is no
 * 1, and a long number keeps all its digits, which a number of JavaScript has no room for.
 */
export function laidOut(text, most = Infinity) {
  let out = "";
  let depth = 0;
  let last = "";
  for (const [piece] of text.matchAll(PIECE)) {
    const closes = piece === "}" || piece === "]";
    const opened = last === "{" || last === "[";
    if (closes) depth -= 1;
    if ((closes && !opened) || (!closes && (opened || last === ","))) {
      out += `\n${"  ".repeat(Math.min(depth, DEEPEST))}`;
    } else if (last === ":") out += " ";
    out += piece;
    if (piece === "{" || piece === "[") depth += 1;
    last = piece;
    if (out.length > most) break;
  }
  return out;
}

const TOKEN =
  /("(?:\\.|[^"\\])*")(\s*:)?|\b(?:true|false|null)\b|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

/** Cut pretty JSON into [kind, text] pairs: name, text, number, word, or plain in between. */
export function jsonParts(text) {
  const parts = [];
  let end = 0;
  for (const found of text.matchAll(TOKEN)) {
    if (found.index > end) parts.push(["plain", text.slice(end, found.index)]);
    const [whole, quoted, colon] = found;
    if (quoted) {
      parts.push([colon ? "name" : "text", quoted]);
      if (colon) parts.push(["plain", colon]);
    } else parts.push([/^[tfn]/.test(whole) ? "word" : "number", whole]);
    end = found.index + whole.length;
  }
  if (end < text.length) parts.push(["plain", text.slice(end)]);
  return parts;
}
