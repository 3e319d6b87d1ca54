// The page: tree, timeline, details. Works on a recording that is complete, and on one that still grows.

import { Drawing, isKept } from "./drawing.js";
import { History, countAt, rate } from "./history.js";

const COLUMNS = ["Node", "Height", "Tip", "State", "Hash rate", "Strategy", "Group"];
const LOG_LINES = 200;
const TEXT_MILLISECONDS = 100; // between two changes of the texts; the tree is drawn at each frame
const $ = (id) => document.getElementById(id);

export class Player {
  constructor() {
    this.history = new History();
    this.t = 0;
    this.live = true; // the shown moment is the newest one
    this.playing = false;
    this.changed = true; // the tree is drawn again at the next frame
    this.stale = true; // and the texts soon after it
    this.told = 0;
    this.listeners = []; // called with the moment when the texts change
    this.drawing = new Drawing($("tree"), this.history);
    this.wire();
    this.before = performance.now();
    requestAnimationFrame((now) => this.frame(now));
  }

  add(events) {
    for (const event of events) this.history.add(event);
    this.changed = true;
  }

  // Show a moment; `live` follows the newest one.
  show(t, live = false) {
    this.t = Math.min(Math.max(0, t), this.history.duration);
    this.live = live;
    this.changed = true;
  }

  frame(now) {
    const passed = (now - this.before) / 1000;
    this.before = now;
    if (this.live) this.t = this.history.duration;
    else if (this.playing) {
      this.show(this.t + passed * Number($("speed").value));
      if (this.t >= this.history.duration) this.play(false);
    }
    if (this.changed) {
      this.changed = false;
      this.drawing.draw(this.history.at(this.t));
      this.stale = true;
    }
    if (this.stale && now - this.told >= TEXT_MILLISECONDS) {
      this.stale = false;
      this.told = now;
      this.tell();
    }
    requestAnimationFrame((next) => this.frame(next));
  }

  tell() {
    const moment = this.history.at(this.t);
    const slider = $("moment");
    slider.max = String(this.history.duration);
    slider.value = String(this.t);
    slider.setAttribute("aria-valuetext", seconds(this.t));
    $("clock").textContent = `${seconds(this.t)} of ${seconds(this.history.duration)}`;
    $("now").hidden = this.live;
    this.renderNodes(moment);
    this.renderLog();
    this.renderBlock();
    this.renderVerdicts();
    for (const listen of this.listeners) listen(moment);
  }

  renderNodes(moment) {
    const group = (node) => String.fromCharCode(65 + moment.groups.findIndex((each) => each.includes(node)));
    const rows = moment.nodes.map((node) => {
      const block = this.history.byHash.get(node.tip);
      return [
        chip(node.node), block ? String(block.height) : "none", code(block ? block.hash.slice(0, 10) : ""), node.state,
        node.limit === null ? "" : rate(node.limit), node.strategy ?? "", moment.groups.length > 1 ? group(node.node) : "",
      ];
    });
    // Columns that say nothing are left out, so that the table fits.
    const columns = COLUMNS.map((title, place) => [title, place]).filter(([, place]) => rows.some((row) => row[place] !== ""));
    const key = rows.map((row) => row.map((cell) => cell.textContent ?? cell).join("|")).join("\n");
    if (key === this.nodesShown) return;
    this.nodesShown = key;
    $("node-titles").replaceChildren(...columns.map(([title]) => element("th", { scope: "col" }, title)));
    $("nodes").replaceChildren(...rows.map((row) => element("tr", {}, ...columns.map(([, place]) => element("td", {}, row[place])))));
  }

  renderLog() {
    const { log } = this.history;
    const count = this.live ? log.length : countAt(log, this.t);
    if (count === this.logShown) return;
    const list = $("log");
    const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
    const first = Math.max(0, count - LOG_LINES);
    // Lines that stand there already stay: each new one costs the browser a layout.
    const goesOn = this.logShown !== undefined && count > this.logShown && first < this.logShown;
    const lines = log.slice(goesOn ? this.logShown : first, count).map((line) =>
      element("li", { class: line.kind }, element("span", { class: "muted mono" }, seconds(line.t)), ` ${line.text}`));
    if (goesOn) list.append(...lines); else list.replaceChildren(...lines);
    while (list.childElementCount > count - first) list.firstElementChild.remove();
    this.logShown = count;
    if (atEnd) list.scrollTop = list.scrollHeight;
  }

  renderBlock() {
    const block = this.history.byHash.get(this.drawing.chosen);
    $("no-block").hidden = Boolean(block);
    $("block").hidden = !block;
    if (!block) return;
    const facts = [
      ["Height", String(block.height)], ["Hash", block.hash], ["Parent", block.parent],
      ["Found by", block.finder === null ? "nobody in this lab" : `node ${block.finder}, after ${seconds(block.t)}`],
      ["Chainwork", Number(block.chainwork).toLocaleString("en")],
      ["Transactions", block.transactions.length ? block.transactions.map((id) => id.slice(0, 10)).join(", ") : "none"],
      ["Heard by", [...block.heard].filter(([, t]) => t <= this.t).map(([node, t]) => `node ${node} after ${seconds(t)}`).join(", ") || "nobody yet"],
    ];
    if (isKept(block, this.t)) facts.push(["Withheld", `node ${block.finder} shows it to nobody`]);
    if (block.refused && block.refused.t <= this.t) facts.push(["Refused", `${block.refused.rule}, by node ${block.refused.node}`]);
    const detached = [...this.history.tips].flatMap(([node, moves]) =>
      moves.filter((move) => move.t <= this.t && move.detached.includes(block.hash)).map((move) => `node ${node} after ${seconds(move.t)}`));
    if (detached.length) facts.push(["Detached by", detached.join(", ")]);
    $("block").replaceChildren(...facts.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]));
  }

  renderVerdicts() {
    const found = this.history.verdicts.filter((verdict) => verdict.t <= this.t);
    $("verdict-panel").hidden = found.length === 0;
    if (found.length === this.verdictsShown) return;
    this.verdictsShown = found.length;
    $("verdicts").replaceChildren(...found.map((verdict) => element("li", {},
      element("b", { class: verdict.held ? "good" : "bad" }, verdict.held ? "held" : "did not hold"), ` ${verdict.claim}${figures(verdict)}`)));
  }

  follow() {
    this.drawing.follows = true;
    this.drawing.scale = 1;
    this.changed = true;
  }

  choose(block) {
    this.drawing.chosen = block ? block.hash : null;
    this.changed = true;
  }

  play(on) {
    this.playing = on;
    if (on && this.t >= this.history.duration) this.t = 0;
    if (on) this.live = false;
    $("play").textContent = on ? "Pause" : "Play";
    this.changed = true;
  }

  wire() {
    const canvas = $("tree");
    $("moment").addEventListener("input", (event) => { this.playing = false; this.show(Number(event.target.value)); });
    $("play").addEventListener("click", () => this.play(!this.playing));
    $("now").addEventListener("click", () => { this.play(false); this.show(this.history.duration, true); });
    $("fit").addEventListener("click", () => { this.drawing.fit(this.history.at(this.t)); this.changed = true; });
    $("follow").addEventListener("click", () => this.follow());
    $("nearer").addEventListener("click", () => { this.drawing.zoom(1.4); this.changed = true; });
    $("farther").addEventListener("click", () => { this.drawing.zoom(1 / 1.4); this.changed = true; });
    new ResizeObserver(() => { this.drawing.resize(); this.changed = true; }).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.recolour());
    new MutationObserver(() => this.recolour()).observe(document.documentElement, { attributeFilter: ["data-theme"] });
    canvas.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.shiftKey) return; // the page scrolls
      event.preventDefault();
      this.drawing.zoom(event.deltaY < 0 ? 1.15 : 1 / 1.15, event.offsetX);
      this.changed = true;
    }, { passive: false });
    let from = null;
    canvas.addEventListener("pointerdown", (event) => { from = [event.clientX, event.clientY, false]; canvas.setPointerCapture(event.pointerId); });
    canvas.addEventListener("pointermove", (event) => {
      if (!from) return;
      const [x, y, moved] = from;
      if (!moved && Math.hypot(event.clientX - x, event.clientY - y) < 5) return;
      this.drawing.pan(event.clientX - x, event.clientY - y);
      from = [event.clientX, event.clientY, true];
      this.changed = true;
    });
    canvas.addEventListener("pointerup", (event) => {
      if (from && !from[2]) this.choose(this.drawing.find(event.offsetX, event.offsetY, this.history.at(this.t)));
      from = null;
    });
    canvas.addEventListener("keydown", (event) => this.key(event));
  }

  // Arrow keys go from block to block: to the parent, to a child, and to the next branch of the same height.
  key(event) {
    const { history, drawing } = this;
    const moment = history.at(this.t);
    const shown = history.blocks.slice(0, moment.shown);
    const block = history.byHash.get(drawing.chosen) ?? shown.at(-1);
    if (!block) return;
    let next = null;
    if (event.key === "ArrowLeft") next = block.above;
    else if (event.key === "ArrowRight") next = shown.find((each) => each.above === block);
    else if (event.key === "ArrowUp" || event.key === "ArrowDown") {
      const level = shown.filter((each) => each.height === block.height).sort((a, b) => a.lane - b.lane);
      next = level[level.indexOf(block) + (event.key === "ArrowDown" ? 1 : -1)];
    } else if (event.key === "Escape") { this.choose(null); return; } else return;
    event.preventDefault();
    this.choose(next ?? block);
    const [x, y] = drawing.place(next ?? block);
    if (x < 40 || x > drawing.width - 40) drawing.pan(drawing.width / 2 - x, 0);
    if (y < 40 || y > drawing.height - 40) drawing.pan(0, drawing.height / 2 - y);
  }

  recolour() { this.drawing.colours(); this.changed = true; }
}

export function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

export function seconds(t) {
  if (t < 120) return `${t.toFixed(1)} s`;
  const minutes = Math.floor(t / 60);
  return minutes < 120 ? `${minutes} min ${Math.floor(t % 60)} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

function figures(verdict) {
  if (verdict.value === null) return "";
  const number = (value) => Number(value.toPrecision(4)).toString();
  let said = `: ${number(verdict.value)}`;
  if (verdict.low !== null && verdict.high !== null) said += ` (95 %: ${number(verdict.low)} to ${number(verdict.high)})`;
  return verdict.expected === null ? said : `${said}, expected ${number(verdict.expected)}`;
}

function chip(node) { return element("span", { class: `node node-${((node - 1) % 8) + 1}` }, `Node ${node}`); }
function code(value) { return element("code", {}, value); }
