// A list of any length that makes only the rows one can see. All rows are equally high.
// Answers for: which rows exist, where they are, and keeping the place. Does not: know what a
// row shows; `fill(row, index)` says so, and is called at each paint for each visible row.

// Rows beyond the edges, so that a quick scroll shows no blank.
const BESIDE = 6;
const PAGE_ROWS = 8;

export class VirtualList {
  #count = 0;
  #rows = [];
  #height = 0;
  #top = 0;
  #rowHeight = 0;

  /** `scroller` is what scrolls; `make()` returns an empty row. */
  constructor(painter, scroller, make, fill) {
    this.painter = painter;
    this.scroller = scroller;
    this.make = make;
    this.fill = fill;
    this.space = document.createElement("div");
    this.space.className = "rows";
    this.space.setAttribute("role", "presentation");
    this.spread = this.spread.bind(this);
    scroller.append(this.space);
    scroller.addEventListener(
      "scroll",
      () => {
        this.#top = scroller.scrollTop;
        this.ask();
      },
      { passive: true },
    );
    new ResizeObserver(() => this.#measure()).observe(scroller);
  }

  ask() {
    this.painter.ask(this.spread);
  }

  get count() {
    return this.#count;
  }

  /** Say how many rows there are. `grown` rows came at the top: what one reads stays in place. */
  resize(count, grown = 0) {
    if (count !== this.#count) {
      this.#count = count;
      if (this.#rowHeight) this.space.style.height = `${count * this.#rowHeight}px`;
    }
    if (grown && this.#top > this.#rowHeight) {
      this.scroller.scrollTop = this.#top + grown * this.#rowHeight;
      this.#top = this.scroller.scrollTop;
    }
    this.ask();
  }

  /** Whether the end of the list is near the lower edge. */
  get nearEnd() {
    return this.#top + this.#height > (this.#count - PAGE_ROWS) * this.#rowHeight;
  }

  get atTop() {
    return this.#top <= this.#rowHeight;
  }

  get pageRows() {
    return Math.max(1, Math.floor(this.#height / (this.#rowHeight || 1)) - 1);
  }

  /** How many rows a key leads on; undefined for any other key. */
  stepOf(key) {
    const [page, all] = [this.pageRows, this.#count];
    const ways = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -all, End: all };
    return ways[key];
  }

  toTop() {
    this.scroller.scrollTop = 0;
  }

  /** Scroll just so far that the row can be seen. */
  reveal(index) {
    const top = index * this.#rowHeight;
    if (top < this.#top) this.scroller.scrollTop = top;
    else if (top + this.#rowHeight > this.#top + this.#height) {
      this.scroller.scrollTop = top + this.#rowHeight - this.#height;
    }
    this.#top = this.scroller.scrollTop;
    this.ask();
  }

  #measure() {
    const tall = parseFloat(getComputedStyle(this.scroller).getPropertyValue("--row")) || 28;
    this.#height = this.scroller.clientHeight;
    this.#top = this.scroller.scrollTop;
    if (tall !== this.#rowHeight) {
      this.#rowHeight = tall;
      this.space.style.height = `${this.#count * tall}px`;
      for (const row of this.#rows) row.place = -1;
    }
    this.ask();
  }

  /** Put the rows that can be seen where they belong, and fill them. */
  spread() {
    if (!this.#height || !this.#rowHeight) return;
    const first = Math.max(0, Math.floor(this.#top / this.#rowHeight) - BESIDE);
    const seen = Math.ceil(this.#height / this.#rowHeight) + 2 * BESIDE;
    const last = Math.min(this.#count, first + seen);
    while (this.#rows.length < Math.min(seen, this.#count)) {
      const row = { element: this.make(), place: -1 };
      this.#rows.push(row);
      this.space.append(row.element);
    }
    const many = this.#rows.length;
    const used = new Set();
    for (let index = first; index < last; index += 1) {
      const row = this.#rows[index % many];
      used.add(row);
      if (row.place !== index) {
        row.place = index;
        row.element.hidden = false;
        row.element.style.transform = `translateY(${index * this.#rowHeight}px)`;
      }
      this.fill(row.element, index);
    }
    for (const row of this.#rows) {
      if (!used.has(row) && row.place !== -1) {
        row.place = -1;
        row.element.hidden = true;
      }
    }
  }
}
