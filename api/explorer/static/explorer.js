// For every page: the colour scheme, the key "/" for the search field, copying, relative times, and live updates.

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

const STEPS = [[60, 1, "s"], [3600, 60, "min"], [86400, 3600, "h"], [Infinity, 86400, "d"]];

function span(seconds) {
  const [, unit, name] = STEPS.find(([bound]) => seconds < bound);
  return `${Math.round(seconds / unit)} ${name}`;
}

function refreshTimes() {
  const now = Date.now() / 1000;
  for (const item of $$("time[data-time]")) {
    const ago = now - Number(item.dataset.time);
    const words = ago >= 1 ? `${span(ago)} ago` : ago > -1 ? "now" : `in ${span(-ago)}`;
    if (item.textContent !== words) item.textContent = words;
  }
}

// --- Numbers, formatted as by the server (text.py) ---

function scaled(value, units, unit) {
  for (const [name, factor] of units) {
    if (value >= factor) return `${Number((value / factor).toPrecision(3))} ${name}`;
  }
  return `${Math.round(value).toLocaleString("en")} ${unit}`.trim();
}
const hashes = (value) => scaled(value, [["T", 1e12], ["G", 1e9], ["M", 1e6]], "");
const rate = (value) => scaled(value, [["TH/s", 1e12], ["GH/s", 1e9], ["MH/s", 1e6], ["kH/s", 1e3]], "H/s");

// --- Live ---

// Only the server renders pages. After an event the page is fetched again, and regions with `data-live` that differ
// are replaced. Only the progress of a round is drawn from the event itself.

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
  old.replaceChildren(...document.adoptNode(fresh).childNodes);
  $$(".scroll", old).forEach((item, i) => (item.scrollLeft = scrolled[i] ?? 0));
  showCopies(old);
  if (focused?.href) $$("a", old).find((item) => item.href === focused.href)?.focus({ preventScroll: true });
}

function showState(state) {
  for (const item of $$('[data-value="mempool"]')) item.textContent = state.mempool.size.toLocaleString("en");
  const box = $("[data-round]");
  if (!box) return;
  const round = state.round;
  if (!round || round.id !== box.dataset.round) {
    if ((round?.id ?? "") !== box.dataset.round) refreshSoon();
    return;
  }
  showRound(box, round);
}

let before = null; // hashes and time of the previous state, from which the speed is computed

function showRound(box, round) {
  const now = performance.now();
  const done = $('[data-value="hashes"]', box);
  if (done) done.textContent = hashes(round.hashes);
  if (before?.id === round.id && round.hashes > before.hashes) {
    $('[data-value="rate"]', box).textContent = rate((1000 * (round.hashes - before.hashes)) / (now - before.now));
  }
  if (before?.id !== round.id || round.hashes > before.hashes) before = { id: round.id, hashes: round.hashes, now };
  const names = Object.keys(round.workers);
  const rows = $$("[data-worker]", box);
  if (names.some((name) => !rows.find((row) => row.dataset.worker === name))) {
    refreshSoon(); // a worker has joined: the server draws its row
    return;
  }
  const most = Math.max(1, ...Object.values(round.workers));
  for (const row of rows) {
    const count = round.workers[row.dataset.worker] ?? 0;
    $(".fill", row).setAttribute("width", ((100 * count) / most).toFixed(1));
    $(".num", row).textContent = hashes(count);
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
    if (source.readyState === EventSource.CLOSED) poll();
    else say("waiting", "Reconnecting", "The stream of events was interrupted.");
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
      if (status.round) {
        status.round.workers = Object.fromEntries(status.round.workers.map((item) => [item.name, item.hashes]));
      }
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

// --- "Mine a block" ---

const mine = $("#mine");

function showMining(words, kind, link) {
  const box = $("#mine-state");
  box.hidden = false;
  box.className = `notice ${kind}`;
  box.textContent = words;
  if (link) {
    const anchor = document.createElement("a");
    anchor.href = link.href;
    anchor.textContent = link.text;
    box.append(" ", anchor);
  }
}

async function mineBlock() {
  mine.disabled = true;
  showMining("Asked for a block; waiting for the workers.", "");
  try {
    const asked = await fetch("/mine?wait=0", { method: "POST" });
    let answer = await asked.json();
    if (asked.status >= 400) throw new Error(answer.detail);
    let hash = answer.hash;
    const job = answer.job;
    while (!hash) {
      const look = await fetch(`/jobs/${job}?wait=1`);
      answer = await look.json();
      if (!look.ok) throw new Error(answer.detail);
      if (answer.status === "cancelled" || answer.status === "failed") throw new Error(`The request was ${answer.status}.`);
      hash = answer.block;
      if (!hash) showMining(await progress(answer.round), "");
    }
    showMining("Done.", "good", { href: `/block/${hash}`, text: `Block ${hash.slice(0, 12)}…` });
    refreshSoon();
  } catch (error) {
    showMining(error.message || "The node does not answer.", "bad");
  } finally {
    mine.disabled = false;
  }
}

async function progress(id) {
  if (!id) return "The request waits for the rounds before it.";
  const look = await fetch(`/rounds/${id}`);
  if (!look.ok) return "The round has ended.";
  const round = await look.json();
  const chance = Math.round(100 * (1 - Math.exp(-round.hashes / round.difficulty)));
  return `Searching block ${round.height}: ${hashes(round.hashes)} of ${hashes(round.difficulty)} expected hashes, by ${round.workers.length} worker(s). ${chance}% of rounds end within this many hashes.`;
}

if (mine) {
  mine.hidden = false;
  mine.addEventListener("click", mineBlock);
}

showCopies(document);
setInterval(refreshTimes, 1000);
