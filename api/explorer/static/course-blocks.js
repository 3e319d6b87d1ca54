// The exercises of the course that mine: a block, a chain that is broken and mended, and two nodes with a fork.

import { $, attempt, count, done, exercise, given, make, tell } from "./course-page.js";
import * as ledger from "./ledger.js";
import { isMining, mine, stopMining } from "./mining.js";

const parent = {
  index: Number(given.height),
  hash: given.hash,
  chainwork: BigInt(given.chainwork ?? 0),
};
const STOPPED = "Stopped. Mine again to begin anew.";
const short = (hash) => `${hash.slice(0, 10)}…`;

// A block without its proof, on `before`, that pays its reward to `address`.
function draft(before, address, transactions = []) {
  const index = before.index + 1;
  const body = [ledger.rewardFor(Number(given.chainId), index, address, given.reward), ...transactions];
  return {
    index,
    timestamp: Number(given.timestamp),
    previous_hash: before.hash,
    difficulty: Number(given.difficulty),
    transactions_root: ledger.merkleRoot(body),
    transactions: body,
  };
}

// Search with a button that stops the search while it runs. Resolves to null if it was stopped.
async function searchWith(button, block, show) {
  const words = button.textContent;
  button.textContent = "Stop";
  try {
    return await mine(ledger.sealOf(block), block.difficulty, show);
  } finally {
    button.textContent = words;
  }
}

// --- Block ---

function blockStep() {
  const key = ledger.keyPair();
  const button = $("b-mine");
  $("b-address").textContent = key.address;
  const payment = {
    type: "transfer", chain_id: Number(given.chainId), nonce: 0, sender: key.address, recipient: given.recipient,
    amount: "0.25", fee: "0",
  };
  const block = draft(parent, key.address, [ledger.signTransaction(payment, key)]);
  const show = ({ proof, last, hash, tried }) => {
    $("b-tried").textContent = count(tried);
    $("b-proof").textContent = String(proof ?? last);
    $("b-hash").textContent = hash;
  };
  button.addEventListener("click", attempt(async () => {
    if (isMining()) return stopMining();
    $("b-details").hidden = true;
    tell("Searching.");
    const found = await searchWith(button, block, show);
    if (!found) return tell(STOPPED);
    $("b-json").textContent = JSON.stringify({ ...block, proof: found.proof }, null, 2);
    $("b-details").hidden = false;
    tell(`Found after ${count(found.tried)} attempts. Whoever wants to check the proof computes one hash.`, "good");
    done();
  }));
  button.disabled = false;
}

// --- Chain ---

async function chainStep() {
  const answer = await fetch(given.blocks);
  if (!answer.ok) throw new Error("The blocks could not be read from the node. Reload the page.");
  const originals = (await answer.json()).chain.slice(0, 4);
  const cards = originals.map((block, i) => drawCard(block, i));
  let blocks = [];
  let tried = 0;
  const restart = () => {
    stopMining();
    tried = 0;
    blocks = originals.map((block) => structuredClone(block));
    cards.forEach((card, i) => (card.input.value = blocks[i].transactions[0].recipient));
    check();
  };

  // What the blocks are now: valid, or not, and which is the first that is not.
  function check() {
    let before = originals[0].previous_hash;
    let first = -1;
    blocks.forEach((block, i) => {
      block.previous_hash = before;
      block.transactions_root = ledger.merkleRoot(block.transactions);
      const hash = ledger.blockHash(block);
      const same = hash === ledger.blockHash(originals[i]);
      const good = ledger.isRare(hash, block.difficulty);
      if (!good && first < 0) first = i;
      show(cards[i], { before, hash, good, words: same ? "As on the chain" : good ? "Valid, but another block" : "The proof is not valid" });
      before = hash;
    });
    cards.forEach((card, i) => (card.button.hidden = i !== first));
    const changed = before !== ledger.blockHash(originals[originals.length - 1]);
    const broken = cards.filter((card) => card.box.classList.contains("broken")).length;
    if (!changed) tell("");
    else if (broken) tell(`${broken} of the ${blocks.length} blocks ${broken === 1 ? "is" : "are"} not valid any more. Mine the first of them again.`, "bad");
    else {
      done();
      tell(`Mended, with ${count(tried)} attempts. ${after()} But the last hash is another one, so everybody who has the real chain sees that this is a different one.`, "good");
    }
  }

  function after() {
    const later = Number(given.later);
    if (!later) return "";
    return `On the real chain ${later === 1 ? "one more block follows" : `${count(later)} more blocks follow`}, which would have to be mined again too.`;
  }

  function drawCard(block, i) {
    const box = make("li", undefined, "link");
    const label = make("label", "Reward goes to ");
    const input = make("input");
    Object.assign(input, { maxLength: 42, spellcheck: false, autocomplete: "off" });
    label.append(input);
    const fields = { parent: make("p", "", "mono muted"), proof: make("p", "", "mono muted"), hash: make("p", "", "mono"), state: make("p", "", "verdict") };
    const button = make("button", `Mine block ${block.index} again`);
    button.type = "button";
    box.append(make("h3", `Block ${block.index}`), label, ...Object.values(fields), button);
    $("c-blocks").append(box);
    input.addEventListener("input", () => {
      stopMining();
      blocks[i].transactions[0].recipient = input.value;
      check();
    });
    button.addEventListener("click", attempt(async () => {
      if (isMining()) return stopMining();
      const found = await searchWith(button, blocks[i], ({ tried: now }) => (fields.proof.textContent = `${count(now)} attempts`));
      if (!found) return tell(STOPPED);
      tried += found.tried;
      blocks[i].proof = found.proof;
      check();
      // The button is gone; if it had the focus, the next one gets it.
      if (document.activeElement === document.body || document.activeElement === button) {
        (cards.find((card) => !card.button.hidden)?.button ?? $("c-reset")).focus();
      }
    }));
    return { box, input, button, fields };
  }

  function show({ box, fields }, { before, hash, good, words }) {
    box.className = good ? "link" : "link broken";
    fields.parent.textContent = `parent ${short(before)}`;
    fields.proof.textContent = `proof ${blocks[cards.findIndex((card) => card.box === box)].proof}`;
    fields.hash.textContent = `hash ${short(hash)}`;
    fields.state.className = `verdict ${good ? "good" : "bad"}`;
    fields.state.textContent = words;
  }

  restart();
  $("c-reset").addEventListener("click", restart);
  $("c-reset").disabled = false;
}

// --- Network ---

const MOST = 4; // blocks that one node may mine

function networkStep() {
  const nodes = [...exercise.querySelectorAll(".node")].map((box) => ({
    box,
    name: box.dataset.node,
    list: box.querySelector("ol"),
    work: box.querySelector('[data-role="work"]'),
    button: box.querySelector('[data-role="mine"]'),
    key: ledger.keyPair(),
    blocks: [],
  }));
  let connected = false;

  const claim = ({ blocks }) => ({
    chainwork: blocks.reduce((sum, block) => sum + BigInt(block.difficulty), parent.chainwork),
    hash: blocks.length ? blocks[blocks.length - 1].hash : parent.hash,
  });

  function draw() {
    for (const { name, list, work, button, blocks, box } of nodes) {
      list.replaceChildren(list.firstElementChild, ...blocks.map((block) => {
        const item = make("li", `Block ${block.index} `, block.by === name ? "own" : "taken");
        item.append(make("span", short(block.hash), "mono"));
        return item;
      }));
      const done = blocks.reduce((sum, block) => sum + block.difficulty, 0);
      work.textContent = blocks.length ? `${count(done)} of work since the fork` : "No block mined yet";
      button.disabled = connected || blocks.length >= MOST;
      box.classList.toggle("joined", connected);
    }
    $("n-connect").disabled = connected || nodes.every(({ blocks }) => !blocks.length);
    $("n-reset").disabled = nodes.every(({ blocks }) => !blocks.length);
  }

  for (const node of nodes) {
    node.button.addEventListener("click", attempt(async () => {
      if (isMining()) return stopMining();
      const block = draft(node.blocks.at(-1) ?? parent, node.key.address);
      const found = await searchWith(node.button, block, ({ tried }) => (node.work.textContent = `${count(tried)} attempts`));
      draw();
      if (!found) return tell(STOPPED);
      node.blocks.push({ ...block, ...found, by: node.name });
      tell(`Node ${node.name} has found block ${block.index} after ${count(found.tried)} attempts.`);
      draw();
    }));
  }

  $("n-connect").addEventListener("click", () => {
    stopMining();
    const [a, b] = nodes;
    const [winner, loser] = ledger.isBetter(claim(a), claim(b)) ? [a, b] : [b, a];
    const tie = claim(a).chainwork === claim(b).chainwork;
    const dropped = loser.blocks.length;
    loser.blocks = [...winner.blocks];
    connected = true;
    draw();
    const blocks = (number) => `${number} block${number === 1 ? "" : "s"}`;
    tell(
      `${tie ? "Both chains have the same work, and that of" : "The chain with more work is that of"} node ${winner.name}${tie ? " ends with the lower hash" : ""}. ` +
        `Node ${loser.name} drops ${dropped ? blocks(dropped) : "nothing"} and takes ${blocks(winner.blocks.length)}. Both have the same chain again.`,
      "good",
    );
    done();
  });
  $("n-reset").addEventListener("click", () => {
    stopMining();
    for (const node of nodes) node.blocks = [];
    connected = false;
    tell("");
    draw();
  });
  draw();
}

const STEPS = { block: blockStep, chain: chainStep, network: networkStep };
attempt(async () => STEPS[exercise.dataset.step]())();
