// What changed from one payload to the next. Pure functions; the result is a list of
// {kind: "added" | "removed" | "changed", path, before, after}, or lines for texts.

const MOST = 500;
// What is nested deeper is compared as a whole.
const DEEPEST = 50;
// Longer values are cut in the table.
const LETTERS = 1_000;

const isBox = (value) => value !== null && typeof value === "object";

/** Compare two JSON values member by member. */
export function jsonChanges(before, after) {
  const changes = [];
  const compare = (old, now, path, depth) => {
    if (changes.length >= MOST) return;
    const alike = isBox(old) && isBox(now) && Array.isArray(old) === Array.isArray(now);
    if (alike && depth < DEEPEST) {
      for (const name of new Set([...Object.keys(old), ...Object.keys(now)])) {
        const inner = Array.isArray(now) ? `${path}[${name}]` : `${path}.${name}`;
        if (!Object.hasOwn(now, name)) {
          changes.push({ kind: "removed", path: inner, before: show(old[name]) });
        } else if (!Object.hasOwn(old, name)) {
          changes.push({ kind: "added", path: inner, after: show(now[name]) });
        } else compare(old[name], now[name], inner, depth + 1);
      }
    } else if (alike ? written(old) !== written(now) : old !== now) {
      const step = typeof old === "number" && typeof now === "number" ? now - old : undefined;
      changes.push({ kind: "changed", path, before: show(old), after: show(now), step });
    }
  };
  compare(before, after, "$", 0);
  return changes;
}

function written(value) {
  try {
    return JSON.stringify(value);
  } catch {
    return "…"; // nested deeper than the browser can write
  }
}

function show(value) {
  const text = written(value);
  return text.length > LETTERS ? `${text.slice(0, LETTERS)}…` : text;
}

// Texts longer than this many lines are compared at their ends only: the table grows with both.
const LONGEST = 400;

/** Compare two texts line by line: [{kind: "same" | "added" | "removed", text}]. */
export function lineChanges(before, after) {
  const old = before.split("\n");
  const now = after.split("\n");
  let head = 0;
  while (head < old.length && head < now.length && old[head] === now[head]) head += 1;
  let tail = 0;
  while (
    tail < old.length - head &&
    tail < now.length - head &&
    old[old.length - 1 - tail] === now[now.length - 1 - tail]
  )
    tail += 1;
  const lines = now.slice(0, head).map((text) => ({ kind: "same", text }));
  lines.push(...middle(old.slice(head, old.length - tail), now.slice(head, now.length - tail)));
  lines.push(...now.slice(now.length - tail).map((text) => ({ kind: "same", text })));
  return lines;
}

/** The longest common part of two lists of lines, by dynamic programming. */
function middle(old, now) {
  if (old.length > LONGEST || now.length > LONGEST) {
    return [
      ...old.map((text) => ({ kind: "removed", text })),
      ...now.map((text) => ({ kind: "added", text })),
    ];
  }
  const wide = now.length + 1;
  const longest = new Uint16Array((old.length + 1) * wide);
  for (let a = old.length - 1; a >= 0; a -= 1) {
    for (let b = now.length - 1; b >= 0; b -= 1) {
      longest[a * wide + b] =
        old[a] === now[b]
          ? longest[(a + 1) * wide + b + 1] + 1
          : Math.max(longest[(a + 1) * wide + b], longest[a * wide + b + 1]);
    }
  }
  const lines = [];
  let a = 0;
  let b = 0;
  while (a < old.length || b < now.length) {
    if (a < old.length && b < now.length && old[a] === now[b]) {
      lines.push({ kind: "same", text: now[b] });
      a += 1;
      b += 1;
    } else if (
      b >= now.length ||
      (a < old.length && longest[(a + 1) * wide + b] >= longest[a * wide + b + 1])
    ) {
      lines.push({ kind: "removed", text: old[a] });
      a += 1;
    } else {
      lines.push({ kind: "added", text: now[b] });
      b += 1;
    }
  }
  return lines;
}
