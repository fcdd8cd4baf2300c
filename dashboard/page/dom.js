// Makes elements. Answers for: that a text stays a text. Whatever comes from a message ends up in
// a text node or an attribute value, never in markup; there is no other way to make elements here.

/**
 * Make an element. A function under `onclick` and the like listens; true sets an attribute
 * without a value; false, null and undefined leave it out. Children are nodes or texts.
 */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(name, value);
    }
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Change an element's text only when it differs: an unchanged text costs no layout. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Set or remove an attribute, only when it differs. */
export function mark(element, name, value) {
  if (value === null || value === undefined || value === false) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
  } else {
    const text = value === true ? "" : String(value);
    if (element.getAttribute(name) !== text) element.setAttribute(name, text);
  }
}

const SVG = "http://www.w3.org/2000/svg";

/** A small line drawing on a 16 by 16 grid, for the eye only. */
export function icon(path) {
  const svg = document.createElementNS(SVG, "svg");
  for (const [name, value] of Object.entries({
    viewBox: "0 0 16 16",
    class: "icon",
    "aria-hidden": "true",
  }))
    svg.setAttribute(name, value);
  const line = document.createElementNS(SVG, "path");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
}

/** A row of buttons of which one is pressed. `choices` are [value, label] pairs. */
export function segments(label, choices, onchoose) {
  const buttons = choices.map(([value, text]) =>
    el(
      "button",
      { type: "button", class: "segment", "data-value": value, onclick: () => onchoose(value) },
      text,
    ),
  );
  const root = el("div", { class: "segments", role: "group", "aria-label": label }, ...buttons);
  const press = (value) => {
    for (const button of buttons) {
      mark(button, "aria-pressed", String(button.dataset.value === value));
    }
  };
  return { root, buttons, press };
}
