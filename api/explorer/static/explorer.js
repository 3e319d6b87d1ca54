// For every page: the colour scheme, the key "/" for the search field, copying, relative times, and live updates.

import { asEvent, hashes, percent, rate, span, timeLeft } from "./figures.js";

const $ = (selector, within = document) => within.querySelector(selector);
const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];

// --- Theme ---

const theme = $("#theme");
theme.hidden = false;
theme.addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme
    ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  try {
    localStorage.setItem("quarry-theme", root.dataset.theme);
  } catch {
    // Without storage, the choice holds for this page only.
  }
});

// --- Keyboard ---

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    $("#search").focus();
  }
});

// --- Copying ---

function showCopies(within) {
  if (!navigator.clipboard) return; // browsers offer it only on secure pages
  for (const button of $$(".copy", within)) button.hidden = false;
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest(".copy");
  if (!button) return;
  await navigator.clipboard.writeText(button.dataset.copy);
  button.textContent = "Copied";
  setTimeout(() => (button.textContent = "Copy"), 1500);
});

// --- Times ---

function refreshTimes() {
  const now = Date.now() / 1000;
  for (const item of $$("time[data-time]")) {
    const ago = now - Number(item.dataset.time);
    const words = ago >= 1 ? `${span(ago)} ago` : ago > -1 ? "now" : `in ${span(-ago)}`;
    if (item.textContent !== words) item.textContent = words;
  }
}

// --- Live ---

// Only the server renders pages. After an event the page is fetched again, and regions with `data-live` that differ
// are replaced. Only the figures of a round are shown from the event itself; the server computes them too.

const SOONEST = 1000; // milliseconds between two fetches
const POLL = 3000;

const live = {
  wanted: true,
  source: null,
  poll: 0,
  timer: 0,
  last: 0,
  seen: "",
  indicator: $("#live"),
};

function say(state, words, help) {
  live.indicator.dataset.state = state;
  live.indicator.title = help;
  if ($("#live-text").textContent !== words) $("#live-text").textContent = words;
}

function refreshSoon() {
  if (live.timer || !live.wanted) return;
  live.timer = setTimeout(async () => {
    live.timer = 0;
    live.last = Date.now();
    try {
      await refresh();
    } catch {
      // The node may be restarting; the next event tries again.
    }
  }, Math.max(0, live.last + SOONEST - Date.now()));
}

async function refresh() {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const kept = new Set();
  for (const fresh of $$("[data-live]", page)) {
    kept.add(fresh.id);
    const old = document.getElementById(fresh.id);
    if (!old) {
      place(fresh);
    } else if (old.innerHTML !== fresh.innerHTML && !isRead(old)) {
      replace(old, fresh);
    }
  }
  for (const old of $$("[data-live]")) if (!kept.has(old.id)) old.remove();
  document.title = page.title;
  refreshTimes();
}

function place(fresh) {
  // A new region goes after the region that precedes it on the server's page.
  const before = fresh.previousElementSibling;
  const anchor = before?.id && document.getElementById(before.id);
  if (anchor) anchor.after(document.adoptNode(fresh));
}

function isRead(region) {
  const selection = getSelection();
  return !selection.isCollapsed && region.contains(selection.anchorNode);
}

function replace(old, fresh) {
  const focused = old.contains(document.activeElement) ? document.activeElement : null;
  const scrolled = $$(".scroll", old).map((item) => item.scrollLeft);
  const known = new Set($$("[data-arrival]", old).map((item) => item.dataset.arrival));
  old.replaceChildren(...document.adoptNode(fresh).childNodes);
  $$(".scroll", old).forEach((item, i) => (item.scrollLeft = scrolled[i] ?? 0));
  showCopies(old);
  showArrivals(old, known);
  if (focused?.href) $$("a", old).find((item) => item.href === focused.href)?.focus({ preventScroll: true });
}

// Rows and cards that were not there before are marked for some seconds, also when the page is replaced meanwhile.

const ARRIVAL = 4000;
const arrivals = new Map(); // when each was first seen

function showArrivals(region, known) {
  const now = performance.now();
  for (const item of $$("[data-arrival]", region)) {
    const name = item.dataset.arrival;
    if (known.size && !known.has(name) && !arrivals.has(name)) arrivals.set(name, now);
    const since = now - (arrivals.get(name) ?? -Infinity);
    if (since >= ARRIVAL) continue;
    item.style.setProperty("--since", `-${Math.round(since)}ms`);
    item.classList.add("arrived");
    setTimeout(() => item.classList.remove("arrived"), ARRIVAL - since);
  }
  if (arrivals.size > 1000) arrivals.clear();
}

function showState(state) {
  for (const item of $$('[data-value="mempool"]')) item.textContent = state.mempool.size.toLocaleString("en");
  showTotals(state);
  document.dispatchEvent(new CustomEvent("quarry-state", { detail: { state, isLive: live.source !== null } }));
  const box = $("[data-round]");
  if (!box) return;
  const round = state.round;
  if (!round || round.id !== box.dataset.round) {
    if ((round?.id ?? "") !== box.dataset.round) refreshSoon();
    return;
  }
  showRound(box, round);
}

function show(name, words, within = document) {
  for (const item of $$(`[data-value="${name}"]`, within)) if (item.textContent !== words) item.textContent = words;
}

function showTotals(state) {
  if (state.hashes === undefined) return;
  show("total", hashes(state.hashes));
  show("wasted", hashes(state.wasted_hashes));
  show("wasted-share", (state.hashes ? (100 * state.wasted_hashes) / state.hashes : 0).toFixed(1));
}

function showRound(box, round) {
  show("hashes", hashes(round.hashes), box);
  show("rate", rate(round.rate), box);
  show("left", round.expected_seconds === null ? "unknown" : timeLeft(round.expected_seconds), box);
  show("probability", percent(round.probability), box);
  $(".chance .fill", box).setAttribute("width", (100 * round.probability).toFixed(1));
  const names = Object.keys(round.workers);
  const rows = $$("[data-worker]", box);
  if (names.some((name) => !rows.find((row) => row.dataset.worker === name))) {
    refreshSoon(); // a worker has joined: the server draws its row
    return;
  }
  for (const row of rows) {
    $(".done", row).textContent = hashes(round.workers[row.dataset.worker] ?? 0);
    $(".speed", row).textContent = rate(round.rates[row.dataset.worker] ?? 0);
  }
}

function listen() {
  stop();
  if (!live.wanted || document.hidden) return;
  const source = new EventSource("/events");
  live.source = source;
  source.addEventListener("open", () => {
    clearInterval(live.poll);
    live.poll = 0;
    say("live", "Live", "Updates as things happen. Press to pause.");
  });
  source.addEventListener("error", () => {
    // The browser reconnects after a lost connection, but not after a refusal (too many streams).
    if (source.readyState === EventSource.CLOSED) {
      live.source = null;
      poll();
    } else say("waiting", "Reconnecting", "The stream of events was interrupted.");
  });
  for (const kind of ["block", "round", "reorganisation", "cancelled"]) source.addEventListener(kind, refreshSoon);
  let waiting = null;
  source.addEventListener("state", (event) => {
    const state = JSON.parse(event.data);
    showState(state);
    if (waiting !== null && waiting !== state.mempool.size) refreshSoon();
    waiting = state.mempool.size;
  });
}

function poll() {
  say("polling", "Polling", "The node serves no more streams at the moment, so this page asks every few seconds.");
  clearInterval(live.poll);
  live.poll = setInterval(async () => {
    try {
      const answer = await fetch("/status");
      if (!answer.ok) return;
      const status = await answer.json();
      const now = `${status.tip} ${status.mempool.size} ${status.round?.id}`;
      if (live.seen && live.seen !== now) refreshSoon();
      live.seen = now;
      if (status.round) status.round = asEvent(status.round);
      showState(status);
    } catch {
      say("waiting", "Not reachable", "The node does not answer. This page keeps asking.");
    }
  }, POLL);
}

function stop() {
  live.source?.close();
  live.source = null;
  clearInterval(live.poll);
  live.poll = 0;
}

if (live.indicator && "livePage" in document.body.dataset) {
  live.indicator.hidden = false;
  live.indicator.addEventListener("click", () => {
    live.wanted = !live.wanted;
    if (live.wanted) {
      refreshSoon();
      listen();
    } else {
      stop();
      say("paused", "Paused", "This page is not updated. Press to continue.");
    }
  });
  // Browsers open only a few connections to one host, so a hidden page closes its own.
  document.addEventListener("visibilitychange", () => {
    if (!live.wanted) return;
    if (document.hidden) {
      stop();
    } else {
      refreshSoon();
      listen();
    }
  });
  listen();
}

showCopies(document);
setInterval(refreshTimes, 1000);
