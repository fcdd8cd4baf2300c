// Paths into JSON, in the form that `/series` takes: `$.a.b`, `$."odd name"`, `$[0]`.

const PLAIN = /^[A-Za-z_][A-Za-z0-9_-]*$/;
const STEP = /\.([A-Za-z_][A-Za-z0-9_-]*)|\."([^"]+)"|\[(\d+)\]/gy;
// A payload with more numbers than this is a table, not a measurement.
const MOST = 50;
const DEEPEST = 6;

function step(path, name) {
  if (typeof name === "number") return `${path}[${name}]`;
  if (PLAIN.test(name)) return `${path}.${name}`;
  return /["\u0000-\u001f]/.test(name) || name === "" ? null : `${path}."${name}"`;
}

/** The paths of all numbers in a JSON value. The value itself, when it is a number, is "". */
export function numberPaths(value) {
  const found = [];
  const visit = (one, path, depth) => {
    if (found.length >= MOST || path === null || depth > DEEPEST) return;
    if (typeof one === "number") found.push(path);
    else if (Array.isArray(one)) one.forEach((item, at) => visit(item, step(path, at), depth + 1));
    else if (one && typeof one === "object") {
      for (const [name, item] of Object.entries(one)) visit(item, step(path, name), depth + 1);
    }
  };
  visit(value, "$", 0);
  return found.map((path) => (path === "$" ? "" : path));
}

/** The number at a path, or undefined when there is none. */
export function numberAt(value, path) {
  let one = value;
  STEP.lastIndex = 1;
  while (path && STEP.lastIndex < path.length) {
    const found = STEP.exec(path);
    if (!found || one === null || typeof one !== "object") return undefined;
    one = one[found[1] ?? found[2] ?? Number(found[3])];
  }
  return typeof one === "number" ? one : undefined;
}
