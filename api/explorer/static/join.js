// The page /join/CODE: mines for this node, with the code as voucher. docs/mining.md describes the requests.

import { hashes, rate } from "./figures.js";

const SLICE_SECONDS = 0.2;
const LONGEST_PAUSE = 30;
const page = document.getElementById("join");
const code = page.dataset.code;
const door = page.dataset.door; // the node's `quarry rpc`, which serves miners for less than the API; "" for none
const nothing = `/leases/${"0".repeat(32)}`; // no lease has this id
let base = ""; // where leases are asked for: `door`, or "" for the server of this page
const start = document.getElementById("join-start");
const stop = document.getElementById("join-stop");
const cores = document.getElementById("join-cores");

const wait = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));

function show(id, text) {
  document.getElementById(id).textContent = text;
}

function say(words, kind = "") {
  const box = document.getElementById("join-state");
  box.hidden = words === "";
  box.className = `notice ${kind}`;
  box.textContent = words;
}

// A name that stays, so that the node knows the miner again.
function ownName() {
  try {
    const known = localStorage.getItem("quarry-miner");
    if (known) return known;
    const made = `browser-${crypto.getRandomValues(new Uint32Array(1))[0].toString(36)}`;
    localStorage.setItem("quarry-miner", made);
    return made;
  } catch {
    return "browser";
  }
}

class Refused extends Error {}

// Without credentials, so that no browser asks for a password.
function send(url, body, signal = null) {
  const headers = { Authorization: `Bearer ${code}`, "Content-Type": "application/json" };
  return fetch(url, { method: "POST", credentials: "omit", headers, body: JSON.stringify(body), signal });
}

// Where leases are asked for: at the door, if it answers and knows the code.
async function findDoor() {
  if (!door || location.protocol !== "http:") return "";
  try {
    const reply = await send(door + nothing, { shares: [], hashes: 0 }, AbortSignal.timeout(3000));
    return (await reply.json()).code === "unknown_lease" ? door : "";
  } catch {
    return "";
  }
}

// The JSON of the answer; null while no round is open.
async function post(path, body) {
  let reply;
  try {
    reply = await send(base + path, body);
  } catch (error) {
    if (base === "") throw error;
    base = ""; // the door has gone
    if (run) run.listen();
    reply = await send(path, body);
  }
  if (reply.status === 204) return null;
  const answer = await reply.json();
  if (reply.ok) return answer;
  throw [400, 401, 422].includes(reply.status) ? new Refused(answer.detail) : new Error(answer.detail);
}

let run = null; // what is stopped by the button; null: nothing runs

class Run {
  constructor(count) {
    this.isOver = false;
    this.name = ownName();
    this.tip = ""; // the newest that is known, and its height
    this.height = 0;
    this.done = this.credited = this.blocks = 0;
    this.round = { id: "", credited: 0 };
    this.began = performance.now();
    this.rates = new Map();
    this.workers = [];
    this.begin(count);
  }

  async begin(count) {
    say("Looking where this node serves miners.");
    const found = await findDoor();
    if (this.isOver) return;
    say("");
    base = found;
    this.listen();
    this.timer = setInterval(() => this.showShare(), 2000);
    for (let i = 0; i < count; i++) this.mine(i);
  }

  listen() {
    if (this.news) this.news.close();
    this.news = new EventSource(`${base}/leases/news`);
    this.news.addEventListener("tip", ({ data }) => { ({ tip: this.tip, height: this.height } = JSON.parse(data)); });
  }

  end() {
    this.isOver = true;
    if (this.news) this.news.close();
    clearInterval(this.timer);
    for (const worker of this.workers) worker.terminate();
  }

  // One worker: leases, searches slice by slice, reports, until the run is over.
  async mine(number) {
    const worker = new Worker(new URL("join-worker.js", import.meta.url), { type: "module" });
    this.workers.push(worker);
    let speed = 200_000, pause = 0.5;
    while (!this.isOver) {
      try {
        const lease = await post("/leases?wait=20", { name: this.name, rate: Math.max(1, Math.round(speed)) });
        if (lease === null) {
          say("The node has nothing to mine now; waiting.");
          await wait(1);
          continue;
        }
        if (this.isOver) return;
        if (this.tip === "") [this.tip, this.height] = [lease.tip, lease.height - 1];
        speed = await this.search(worker, lease, speed, number);
        pause = 0.5;
      } catch (error) {
        if (this.isOver) return; // another run may have begun
        if (error instanceof Refused) {
          say(error.message, "bad");
          finish();
          return;
        }
        say("The node does not answer; trying again.", "bad");
        await wait(pause * (0.5 + Math.random() / 2));
        pause = Math.min(LONGEST_PAUSE, 2 * pause);
      }
    }
  }

  // Whether news have come of a tip that the lease does not follow.
  isStale(lease) {
    return this.height >= lease.height && this.tip !== lease.tip;
  }

  async search(worker, lease, speed, number) {
    const shares = [];
    let at = lease.start, found = false;
    const began = this.tip;
    while (at < lease.stop && !found && !this.isOver && this.tip === began && !this.isStale(lease)) {
      const end = Math.min(lease.stop, at + Math.max(1000, Math.round(speed * SLICE_SECONDS)));
      const result = await ask(worker, {
        seal: lease.seal, start: at, stop: end, shareDifficulty: lease.share_difficulty, difficulty: lease.difficulty,
      });
      shares.push(...result.shares);
      const tried = result.done - at;
      if (result.seconds > 0.02) speed = 0.7 * speed + (0.3 * tried) / result.seconds;
      this.rates.set(number, speed);
      this.done += tried;
      at = result.done;
      found = result.found;
      this.showWork();
    }
    if (at === lease.start) {
      [this.tip, this.height] = ["", 0]; // the next lease says which tip it is
      return speed;
    }
    const answer = await post(`/leases/${lease.lease}`, { shares, hashes: at - lease.start });
    this.credited += answer.credited;
    if (this.round.id !== lease.round) this.round = { id: lease.round, credited: 0 };
    this.round.credited += answer.credited;
    if (answer.sealed) {
      this.blocks++;
      say(`You have found block ${lease.height}.`, "good");
    }
    if (answer.sealed || answer.stale) [this.tip, this.height] = ["", 0];
    this.showWork();
    return speed;
  }

  showWork() {
    let total = 0;
    for (const each of this.rates.values()) total += each;
    show("join-rate", rate(total));
    show("join-done", hashes(this.done));
    show("join-credited", hashes(this.credited));
    show("join-blocks", String(this.blocks));
  }

  // The part of the open round's hashes that is this page's.
  async showShare() {
    const { id, credited } = this.round;
    if (!id) return;
    try {
      const reply = await fetch(`/rounds/${id}`, { credentials: "omit" });
      const round = await reply.json();
      if (reply.ok && round.hashes) show("join-share", `${((100 * credited) / round.hashes).toFixed(1)}%`);
    } catch {
      // The next look may succeed.
    }
  }
}

function ask(worker, message) {
  return new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = () => reject(new Refused("This browser does not run the part of the page that mines."));
    worker.postMessage(message);
  });
}

function begin() {
  if (run) return;
  start.hidden = true;
  stop.hidden = false;
  run = new Run(Number(cores.value));
}

function finish() {
  if (run) run.end();
  run = null;
  start.hidden = false;
  stop.hidden = true;
}

if (page) {
  const most = Math.min(64, navigator.hardwareConcurrency || 1);
  for (let i = 1; i <= most; i++) cores.add(new Option(String(i), String(i), i === 1, i === 1));
  start.hidden = false;
  start.addEventListener("click", begin);
  stop.addEventListener("click", () => {
    finish();
    say("");
  });
  addEventListener("pagehide", finish);
}
