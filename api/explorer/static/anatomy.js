// The page "Take a block apart": it computes the same hashes from the same bytes as the node.

import { canonical, hashOf, hashText, headerText, isRare, merkleRoot, sealOf } from "./ledger.js";

const $ = (id) => document.getElementById(id);

function problem(words) {
  $("learn-problem").textContent = words;
  $("learn-problem").hidden = false;
}

// --- One block, from bytes to hash ---

async function takeApart(block) {
  const root = merkleRoot(block.transactions);
  $("a-root").textContent = root;
  mark($("a-header"), headerText(block), block.transactions_root);
  const seal = sealOf(block);
  $("a-seal").textContent = seal;
  $("a-proof").textContent = String(block.proof);
  $("a-difficulty").textContent = block.difficulty.toLocaleString("en");
  const hash = hashOf(seal, block.proof);
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

function check() {
  let parent = originals[0].previous_hash;
  for (const [i, item] of run.entries()) {
    const { card, ...block } = item;
    // A changed block has a new root in its header, and its new hash is the parent of the next block.
    block.previous_hash = parent;
    block.transactions_root = merkleRoot(block.transactions);
    const hash = hashOf(sealOf(block), block.proof);
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

function toySeal() {
  const seal = hashText($("t-text").value);
  $("t-seal").textContent = seal;
  return seal;
}

function tryProof(seal, difficulty) {
  const proof = toy.next++;
  toy.count++;
  const hash = hashOf(seal, proof);
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

function once() {
  if (toy.searching) return;
  const difficulty = Number($("t-difficulty").value);
  showTry(tryProof(toySeal(), difficulty), difficulty);
}

async function search() {
  if (toy.searching) {
    toy.searching = false;
    return;
  }
  toy.searching = true;
  $("t-search").textContent = "Stop";
  const difficulty = Number($("t-difficulty").value);
  const seal = toySeal();
  let last = null;
  let shown = 0;
  while (toy.searching) {
    last = tryProof(seal, difficulty);
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
