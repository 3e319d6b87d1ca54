// The page "Learn": it computes the same hashes from the same bytes as the node, with Web Crypto.

const $ = (id) => document.getElementById(id);
const encoder = new TextEncoder();
const LIMIT = 1n << 256n;

function problem(words) {
  $("learn-problem").textContent = words;
  $("learn-problem").hidden = false;
}

async function sha256(bytes) {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
}
const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

// Canonical bytes: sorted keys, separators ", " and ": ", and only ASCII characters, others escaped.
function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(", ")}]`;
  if (value !== null && typeof value === "object") {
    const names = Object.keys(value).sort();
    return `{${names.map((name) => `${canonical(name)}: ${canonical(value[name])}`).join(", ")}}`;
  }
  const escaped = (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return JSON.stringify(value).replace(/[\u007f-\uffff]/g, escaped);
}

async function leaf(transaction) {
  return sha256(Uint8Array.of(0, ...encoder.encode(canonical(transaction))));
}

// As in RFC 6962: pairs are hashed, level by level; an odd last hash moves up unchanged.
async function merkleRoot(transactions) {
  if (!transactions.length) return hex(await sha256(new Uint8Array()));
  let level = await Promise.all(transactions.map(leaf));
  while (level.length > 1) {
    const above = [];
    for (let i = 0; i < level.length; i += 2) {
      above.push(i + 1 < level.length ? await sha256(Uint8Array.of(1, ...level[i], ...level[i + 1])) : level[i]);
    }
    level = above;
  }
  return hex(level[0]);
}

function headerOf(block) {
  const { transactions, ...header } = block;
  return header;
}

async function sealOf(block) {
  const { proof, ...header } = headerOf(block);
  const text = canonical(header);
  return { text, seal: hex(await sha256(encoder.encode(text))) };
}

const hashOf = async (seal, proof) => hex(await sha256(encoder.encode(seal + String(proof))));
const isRare = (hash, difficulty) => BigInt(`0x${hash}`) * BigInt(difficulty) < LIMIT;

// --- One block, from bytes to hash ---

async function takeApart(block) {
  const root = await merkleRoot(block.transactions);
  $("a-root").textContent = root;
  const { text, seal } = await sealOf(block);
  mark($("a-header"), text, block.transactions_root);
  $("a-seal").textContent = seal;
  $("a-proof").textContent = String(block.proof);
  $("a-difficulty").textContent = block.difficulty.toLocaleString("en");
  const hash = await hashOf(seal, block.proof);
  $("a-hash").textContent = hash;
  const stored = await (await fetch(`/blocks/${block.index}`)).json();
  const verdict = $("a-verdict");
  const good = hash === stored.hash && root === block.transactions_root && isRare(hash, block.difficulty);
  verdict.className = `verdict ${good ? "good" : "bad"}`;
  verdict.textContent = good
    ? `That is the hash of block ${block.index}, and it is rare enough. Your browser agrees with the node.`
    : "Your browser's result is not the node's.";
}

function mark(element, text, part) {
  const at = text.indexOf(part);
  element.textContent = "";
  if (at < 0) {
    element.textContent = text;
    return;
  }
  const marked = document.createElement("mark");
  marked.textContent = part;
  element.append(text.slice(0, at), marked, text.slice(at + part.length));
}

// --- Consecutive blocks that can be changed ---

let originals = [];
let run = [];

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function field(label, control) {
  const made = element("label", label);
  made.append(control);
  return made;
}

function drawRun() {
  const box = $("b-blocks");
  box.textContent = "";
  run = originals.map((block) => structuredClone(block));
  run.forEach((block, i) => {
    const card = element("div", undefined, "link");
    card.dataset.index = String(block.index);
    const first = element("input");
    first.value = block.transactions[0]?.amount ?? "";
    first.dataset.role = "amount";
    const time = element("input");
    time.type = "number";
    time.value = String(block.timestamp);
    const proof = element("input");
    proof.type = "number";
    proof.min = "0";
    proof.value = String(block.proof);
    const parent = element("p", "", "mono muted");
    const hash = element("p", "", "mono");
    const state = element("p", "", "verdict");
    card.append(element("h3", `Block ${block.index}`));
    card.append(field("Reward", first), field("Timestamp", time), field("Proof", proof), parent, hash, state);
    const change = () => {
      if (block.transactions[0]) block.transactions[0].amount = first.value;
      block.timestamp = Math.trunc(Number(time.value));
      block.proof = Math.trunc(Number(proof.value));
      check();
    };
    for (const input of [first, time, proof]) input.addEventListener("input", change);
    Object.assign(run[i], { card: { card, parent, hash, state } });
    box.append(card);
  });
  check();
}

let checking = 0;

async function check() {
  const turn = ++checking;
  let parent = originals[0].previous_hash;
  for (const [i, item] of run.entries()) {
    const { card, ...block } = item;
    // A changed block has a new root in its header, and its new hash is the parent of the next block.
    block.previous_hash = parent;
    block.transactions_root = await merkleRoot(block.transactions);
    const { seal } = await sealOf(block);
    const hash = await hashOf(seal, block.proof);
    if (turn !== checking) return; // a newer input is being checked
    const rare = isRare(hash, block.difficulty);
    const same = canonical(block) === canonical(originals[i]);
    card.card.className = rare ? "link" : "link broken";
    card.parent.textContent = `parent ${parent.slice(0, 14)}…`;
    card.hash.textContent = `hash ${hash.slice(0, 14)}…`;
    card.state.className = `verdict ${rare ? "good" : "bad"}`;
    card.state.textContent = same ? "As it is on the chain" : rare ? "Valid, but another block" : "Its proof is not valid";
    parent = hash;
  }
}

// --- A toy block ---

const toy = { next: 0, count: 0, searching: false };

async function toySeal() {
  const seal = hex(await sha256(encoder.encode($("t-text").value)));
  $("t-seal").textContent = seal;
  return seal;
}

async function tryProof(seal, difficulty) {
  const proof = toy.next++;
  toy.count++;
  const hash = await hashOf(seal, proof);
  return { proof, hash, found: isRare(hash, difficulty) };
}

function showTry({ proof, hash, found }, difficulty) {
  $("t-proof").textContent = String(proof);
  $("t-hash").textContent = hash;
  $("t-count").textContent = toy.count.toLocaleString("en");
  const chance = 1 - Math.exp(-toy.count / difficulty);
  $("t-dial").setAttribute("width", (100 * chance).toFixed(1));
  const verdict = $("t-verdict");
  verdict.className = `verdict ${found ? "good" : ""}`;
  const odds = `${Math.round(100 * chance)}% of searches end within this many attempts.`;
  verdict.textContent = found ? `Found after ${toy.count.toLocaleString("en")} attempts: this hash is rare enough.` : `Too large. ${odds}`;
}

async function once() {
  if (toy.searching) return;
  const difficulty = Number($("t-difficulty").value);
  showTry(await tryProof(await toySeal(), difficulty), difficulty);
}

async function search() {
  if (toy.searching) {
    toy.searching = false;
    return;
  }
  toy.searching = true;
  $("t-search").textContent = "Stop";
  const difficulty = Number($("t-difficulty").value);
  const seal = await toySeal();
  let last = null;
  let shown = 0;
  while (toy.searching) {
    last = await tryProof(seal, difficulty);
    if (last.found) break;
    if (performance.now() - shown > 60) {
      shown = performance.now();
      showTry(last, difficulty);
      await new Promise(requestAnimationFrame);
    }
  }
  if (last) showTry(last, difficulty);
  toy.searching = false;
  $("t-search").textContent = "Let it search";
}

function resetToy() {
  Object.assign(toy, { next: 0, count: 0, searching: false });
  $("t-proof").textContent = "none tried yet";
  for (const id of ["t-hash", "t-verdict"]) $(id).textContent = "";
  $("t-count").textContent = "0";
  $("t-dial").setAttribute("width", "0");
  toySeal();
}

// --- Beginning ---

async function begin() {
  if (!globalThis.crypto?.subtle) {
    problem("Your browser computes hashes only on pages from this machine or over HTTPS. Open this page at http://127.0.0.1.");
    return;
  }
  $("t-once").addEventListener("click", once);
  $("t-search").addEventListener("click", search);
  $("t-reset").addEventListener("click", resetToy);
  for (const id of ["t-text", "t-difficulty"]) $(id).addEventListener("input", resetToy);
  resetToy();
  const anatomy = $("anatomy");
  if (!anatomy) return;
  const height = anatomy.dataset.height;
  const page = await (await fetch(`/chain?from=${height}&limit=4`)).json();
  originals = page.chain;
  await takeApart(originals[0]);
  $("b-reset").addEventListener("click", drawRun);
  drawRun();
}

begin().catch(() => problem("The block could not be read from the node. Reload the page."));
