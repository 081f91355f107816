// The timeline: a row for each track and box, of which only those in sight are in the page.

import { nameOf } from "./edits.js";

const ROW = 44;
const SPARE = 3;

export class Timeline {
  /** `on` is told: pick(row), seek(frame). */
  constructor(list, axis, count, on) {
    Object.assign(this, { list, axis, count, on, rows: [], shown: new Map(), selected: null, frame: 0, span: null, other: null });
    this.view = [0, Math.max(1, count)]; // frames from, to
    this.body = document.createElement("div");
    this.body.className = "rows";
    list.append(this.body);
    list.addEventListener("scroll", () => this.draw(), { passive: true });
    new ResizeObserver(() => this.draw()).observe(list);
    const drag = (target) => (event) => {
      const canvas = event.target.closest("canvas");
      if (!canvas || event.button) return;
      const box = canvas.getBoundingClientRect();
      const seek = (e) => on.seek(this.frameAt((e.clientX - box.left) / box.width));
      seek(event);
      if (target !== axis) return;
      canvas.setPointerCapture(event.pointerId);
      canvas.onpointermove = seek;
      canvas.onpointerup = canvas.onpointercancel = () => (canvas.onpointermove = null);
    };
    axis.addEventListener("pointerdown", drag(axis));
    this.body.addEventListener("click", (event) => {
      const row = event.target.closest(".row");
      if (!row) return;
      on.pick(this.rows[Number(row.dataset.index)]);
      drag(this.body)(event);
    });
    list.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      this.zoom(event.deltaY < 0 ? 0.8 : 1.25);
    }, { passive: false });
  }

  frameAt(share) {
    const [from, to] = this.view;
    return Math.min(this.count - 1, Math.max(0, Math.floor(from + share * (to - from))));
  }

  zoom(factor) {
    const length = Math.min(this.count, Math.max(20, (this.view[1] - this.view[0]) * factor));
    const from = Math.min(Math.max(0, this.frame - length / 2), this.count - length);
    this.view = [from, from + length];
    this.draw();
  }

  update(members) {
    Object.assign(this, members);
    const [from, to] = this.view, length = to - from;
    if (this.frame < from || this.frame >= to) {
      const start = Math.min(Math.max(0, this.frame - length / 4), Math.max(0, this.count - length));
      this.view = [start, start + length];
    }
    this.draw();
  }

  reveal(row) {
    const index = this.rows.indexOf(row);
    if (index < 0) return;
    const [top, height] = [index * ROW, this.list.clientHeight];
    if (top < this.list.scrollTop) this.list.scrollTop = top;
    else if (top + ROW > this.list.scrollTop + height) this.list.scrollTop = top + ROW - height;
    this.draw();
  }

  draw() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.drawNow();
    });
  }

  drawNow() {
    this.body.style.height = `${this.rows.length * ROW}px`;
    const first = Math.max(0, Math.floor(this.list.scrollTop / ROW) - SPARE);
    const last = Math.min(this.rows.length - 1, Math.ceil((this.list.scrollTop + this.list.clientHeight) / ROW) + SPARE);
    const old = this.shown;
    this.shown = new Map();
    for (let k = first; k <= last; k++) {
      const row = this.rows[k], key = `${row.kind}${row.id}`;
      const element = old.get(key) ?? this.make();
      old.delete(key);
      this.shown.set(key, element);
      this.fill(element, row, k);
    }
    for (const element of old.values()) element.remove();
    // Sizes are asked for once, after all that changes the page: each question after a change lays the page out anew.
    const canvas = this.body.querySelector("canvas"), colours = this.colours();
    const size = canvas && [Math.round(canvas.clientWidth * devicePixelRatio), Math.round(canvas.clientHeight * devicePixelRatio)];
    for (let k = first; k <= last; k++) this.drawRow(this.shown.get(`${this.rows[k].kind}${this.rows[k].id}`).lastChild, this.rows[k], size, colours);
    this.drawAxis(colours);
  }

  make() {
    const element = document.createElement("div");
    element.className = "row";
    element.setAttribute("role", "option");
    element.innerHTML = '<span class="face"></span><span class="name"></span><span class="does"></span><canvas></canvas>';
    this.body.append(element);
    return element;
  }

  fill(element, row, index) {
    const [face, name, does] = element.children;
    if (row === element.row && element.index === index && element.selected === (row === this.selected) && element.other === (row === this.other)) return;
    Object.assign(element, { row, index, selected: row === this.selected, other: row === this.other });
    element.style.top = `${index * ROW}px`;
    element.dataset.index = index;
    element.id = `row-${row.kind}-${row.id}`;
    element.setAttribute("aria-selected", row === this.selected);
    element.setAttribute("aria-posinset", index + 1);
    element.setAttribute("aria-setsize", this.rows.length);
    element.classList.toggle("other", row === this.other);
    element.dataset.action = row.action;
    if (row === this.selected) this.list.setAttribute("aria-activedescendant", element.id);
    name.textContent = nameOf(row);
    does.textContent = row.action;
    const picture = row.thumbnail && `thumbnail/${row.thumbnail.frame}/${row.thumbnail.source}`;
    if (face.dataset.picture !== String(picture)) {
      face.dataset.picture = String(picture);
      face.replaceChildren();
      if (picture) {
        const image = new Image();
        image.alt = "";
        image.loading = "lazy";
        image.onerror = () => image.remove();
        image.src = picture;
        face.append(image);
      }
    }
  }

  drawRow(canvas, row, [width, height], colours) {
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const context = canvas.getContext("2d"), [from, to] = this.view;
    const x = (frame) => ((frame - from) / (to - from)) * width;
    const bar = (runs, colour, top, bottom) => {
      context.fillStyle = colour;
      for (const [start, end] of runs) {
        const left = x(start), wide = Math.max(2, x(end + 1) - left);
        if (left + wide >= 0 && left <= width) context.fillRect(left, top * height, wide, (bottom - top) * height);
      }
    };
    context.clearRect(0, 0, width, height);
    if (this.span) bar([this.span], colours.span, 0, 1);
    bar(row.seen, row.action === "keep" || row.action === "drop" ? colours.off : row.kind === "box" ? colours.box : colours.seen, 0.36, 0.64);
    bar(row.filled, colours.filled, 0.36, 0.64);
    bar(row.unsure, colours.unsure, 0.36, 0.64);
    bar(row.gaps, colours.gap, 0.47, 0.53);
    context.fillStyle = colours.text;
    context.fillRect(Math.round(x(this.frame + 0.5)), 0, Math.max(1, devicePixelRatio), height);
  }

  drawAxis(colours) {
    const context = fit(this.axis), width = this.axis.width, height = this.axis.height, [from, to] = this.view;
    const x = (frame) => ((frame - from) / (to - from)) * width;
    context.clearRect(0, 0, width, height);
    if (this.span) {
      context.fillStyle = colours.span;
      context.fillRect(x(this.span[0]), 0, Math.max(2, x(this.span[1] + 1) - x(this.span[0])), height);
    }
    context.fillStyle = colours.quiet;
    context.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
    const most = Math.max(2, Math.floor(width / (90 * devicePixelRatio)));
    for (let k = 0; k < most; k++) {
      const frame = Math.round(from + ((to - from) * k) / most);
      context.fillRect(x(frame), height * 0.7, devicePixelRatio, height * 0.3);
      context.fillText(this.label?.(frame) ?? frame, x(frame) + 3 * devicePixelRatio, height * 0.62);
    }
    context.fillStyle = colours.text;
    context.fillRect(Math.round(x(this.frame + 0.5)) - devicePixelRatio, 0, 3 * devicePixelRatio, height);
  }

  colours() {
    const style = getComputedStyle(document.documentElement);
    const names = ["seen", "unsure", "filled", "gap", "off", "box", "span", "text", "quiet"];
    return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`)]));
  }
}

/** The context of a canvas whose pixels are those of the screen. */
export function fit(canvas) {
  const width = Math.round(canvas.clientWidth * devicePixelRatio), height = Math.round(canvas.clientHeight * devicePixelRatio);
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  return canvas.getContext("2d");
}
