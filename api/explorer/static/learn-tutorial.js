// The page "Learn" of a chain with the tutorial's rules: it hashes the bytes of blocks as the node does, with Web Crypto.

const $ = (id) => document.getElementById(id);
const LIMIT = 1n << 256n;

async function sha256(text) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function problem(words) {
  $("learn-problem").textContent = words;
  $("learn-problem").hidden = false;
}

// The bytes of one block, as they were hashed. They are cut out of the answer: reading and writing JSON in the browser
// would change numbers such as 5.0.
async function bytesOf(height) {
  const answer = await fetch(`/chain?from=${height}&limit=1`);
  const text = await answer.text();
  const start = text.indexOf("[") + 1;
  return answer.ok && text[start] === "{" ? text.slice(start, text.lastIndexOf("]")) : null;
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

const proofHash = (parent, block) => sha256(`${parent.proof}${block.proof}`);
const isRare = (hash, difficulty) => BigInt(`0x${hash}`) * BigInt(difficulty) < LIMIT;

async function takeApart(parent, block, difficulty) {
  const [before, own] = [JSON.parse(parent), JSON.parse(block)];
  $("a-proof").textContent = `${before.proof}${own.proof}`;
  const found = await proofHash(before, own);
  $("a-proof-hash").textContent = found;
  $("a-block").textContent = block;
  const hash = await sha256(block);
  $("a-hash").textContent = hash;
  const stored = await (await fetch(`/blocks/${own.index}`)).json();
  const good = hash === stored.hash && isRare(found, difficulty);
  $("a-verdict").className = `verdict ${good ? "good" : "bad"}`;
  $("a-verdict").textContent = good
    ? `That is the hash of block ${own.index}, and the hash of the two proofs is rare enough. Your browser agrees with the node.`
    : "Your browser's result is not the node's.";
}

// --- Consecutive blocks that can be changed ---

let originals = []; // the parent of the first, and the blocks
let cards = [];

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function draw() {
  const box = $("b-blocks");
  box.textContent = "";
  cards = originals.slice(1).map((text) => {
    const card = element("div", undefined, "link");
    const label = element("label", "Its bytes");
    const bytes = element("textarea");
    bytes.rows = 7;
    bytes.value = text;
    bytes.spellcheck = false;
    label.append(bytes);
    const lines = { hash: element("p", "", "mono"), proof: element("p"), link: element("p", "", "verdict") };
    card.append(element("h3", `Block ${JSON.parse(text).index}`), label, lines.hash, lines.proof, lines.link);
    bytes.addEventListener("input", check);
    box.append(card);
    return { card, bytes, ...lines };
  });
  check();
}

let turn = 0;

async function check() {
  const mine = ++turn;
  let parent = originals[0];
  let broken = 0;
  let changed = 0;
  for (const [i, item] of cards.entries()) {
    const text = item.bytes.value;
    const [before, own] = [parsed(parent), parsed(text)];
    const links = own?.previous_hash === (await sha256(parent));
    const proves = own && before ? isRare(await proofHash(before, own), $("anatomy").dataset.difficulty) : false;
    const linked = text === originals[i + 1] ? "As it is on the chain" : "Linked, but another block";
    const words = !own ? "This is not JSON any more" : links ? linked : "Names another block as its parent";
    const hash = await sha256(text);
    if (mine !== turn) return; // a newer input is being checked
    item.card.className = links && proves ? "link" : "link broken";
    item.hash.textContent = `hash ${hash.slice(0, 14)}…`;
    item.proof.textContent = proves ? "Its proof is valid" : "Its proof is not valid";
    item.link.className = `verdict ${links && proves ? "good" : "bad"}`;
    item.link.textContent = words;
    broken += links && proves ? 0 : 1;
    changed += text === originals[i + 1] ? 0 : 1;
    parent = text;
  }
  const verdict = $("b-verdict");
  verdict.className = `verdict ${broken ? "bad" : changed ? "bad" : "good"}`;
  verdict.textContent = broken
    ? "A node of the tutorial refuses this chain."
    : changed
      ? "A node of the tutorial accepts this forged chain, if it is the longest. No proof was searched."
      : "";
}

async function relink() {
  let parent = originals[0];
  for (const item of cards) {
    const hash = await sha256(parent);
    item.bytes.value = item.bytes.value.replace(/("previous_hash": )"[0-9a-f]*"/, `$1"${hash}"`);
    parent = item.bytes.value;
  }
  check();
}

async function begin() {
  if (!globalThis.crypto?.subtle) {
    problem("Your browser computes hashes only on pages from this machine or over HTTPS. Open this page at http://127.0.0.1.");
    return;
  }
  const anatomy = $("anatomy");
  if (!anatomy) return;
  const height = Number(anatomy.dataset.height);
  const found = await Promise.all([-1, 0, 1, 2].map((step) => bytesOf(height + step)));
  originals = found.filter((text) => text !== null);
  await takeApart(originals[0], originals[1], anatomy.dataset.difficulty);
  $("b-reset").addEventListener("click", draw);
  $("b-relink").addEventListener("click", relink);
  draw();
}

begin().catch(() => problem("The block could not be read from the node. Reload the page."));
