// The exercises of the course that need no search: hash, signature, transaction, and what the work costs.

import { $, attempt, count, done, exercise, given, span, tell } from "./course-page.js";
import * as ledger from "./ledger.js";
import { isMining, mine, stopMining } from "./mining.js";

// --- Hash ---

function hashStep() {
  const text = $("h-text");
  const first = text.defaultValue;
  const original = ledger.hashText(first);
  let changed = false;
  const show = () => {
    const hash = ledger.hashText(text.value);
    $("h-hash").textContent = hash;
    if (text.value !== first) {
      changed = true;
      const differ = Array.from(hash).filter((digit, i) => digit !== original[i]).length;
      tell(`${differ} of the 64 digits have changed.`, "good");
      done();
    } else {
      tell(changed ? "The text is as it was, and so is its hash." : "");
    }
  };
  text.addEventListener("input", show);
  show();
  const own = ledger.hashText($("h-bytes").textContent);
  const same = own === $("h-node").textContent;
  $("h-own").textContent = same ? "Your browser has computed the same." : `Your browser has computed another one: ${own}`;
}

// --- Signature ---

function signatureStep() {
  const key = ledger.keyPair();
  const publicKey = ledger.hex(key.publicKey);
  let signature = "";
  $("s-secret").textContent = ledger.hex(key.secret);
  $("s-public").textContent = publicKey;
  $("s-address").textContent = key.address;
  const check = () => {
    if (!signature) return;
    const good = ledger.fits($("s-text").value, signature, publicKey);
    tell(
      good
        ? "The signature fits the text and the public key. Now change a letter of the text."
        : "The signature does not fit. Whoever checks it with the public key knows that this is not the text that was signed.",
      good ? "good" : "bad",
    );
    if (!good) done();
  };
  $("s-sign").addEventListener("click", () => {
    signature = ledger.signText($("s-text").value, key);
    $("s-signature").textContent = signature;
    check();
  });
  $("s-text").addEventListener("input", check);
  $("s-sign").disabled = false;
}

// --- Transaction ---

function transactionStep() {
  const key = ledger.keyPair();
  const inputs = { recipient: $("t-recipient"), amount: $("t-amount"), nonce: $("t-nonce") };
  let signed = null;
  $("t-sender").value = key.address;
  const fields = () => ({
    type: "transfer",
    chain_id: Number(given.chainId),
    nonce: Math.trunc(Number(inputs.nonce.value)) || 0,
    sender: key.address,
    recipient: inputs.recipient.value.trim(),
    amount: inputs.amount.value.trim(),
    fee: "0",
  });
  const show = () => {
    if (!signed) return;
    const { scheme, public_key, signature } = signed;
    const sent = { ...fields(), scheme, public_key, signature };
    $("t-json").textContent = JSON.stringify(sent, null, 2);
    $("t-id").textContent = ledger.idOf(sent);
    const reason = ledger.refusal(sent);
    tell(
      reason
        ? "Refused: the signature does not fit these fields. Only your private key can make one that does."
        : "The signature fits all fields. Now change the amount or the recipient, as a thief would.",
      reason ? "bad" : "good",
    );
    if (reason) done();
  };
  $("t-sign").addEventListener("click", () => {
    signed = ledger.signTransaction(fields(), key);
    show();
  });
  for (const input of Object.values(inputs)) input.addEventListener("input", show);
  $("t-sign").disabled = false;
}

// --- What it costs ---

const WATTS = 20;
const PRICE = 0.3; // for a kilowatt-hour

function costStep() {
  const button = $("w-measure");
  const work = Number(given.chainwork);
  const blocks = Number(given.blocks);
  button.addEventListener("click", attempt(async () => {
    if (isMining()) return stopMining();
    const words = button.textContent;
    button.textContent = "Stop";
    tell("Measuring.");
    let last = null;
    // No hash is as rare as that, so the search goes on until it is stopped.
    const search = mine(ledger.hashText("measured"), 2 ** 52, (state) => {
      last = state;
      if (state.seconds > 2) stopMining();
    });
    await search.finally(() => (button.textContent = words));
    if (!last) return tell("Stopped.");
    const rate = last.tried / last.seconds;
    const seconds = work / rate;
    const kilowattHours = (seconds * WATTS) / 3_600_000;
    $("w-rate").textContent = `${count(Math.round(rate / 1000))},000 attempts in a second`;
    $("w-block").textContent = span(Number(given.difficulty) / rate);
    $("w-chain").textContent = blocks ? span(seconds) : "nothing: no block has been mined yet";
    $("w-energy").textContent = `${Number(kilowattHours.toPrecision(2))} kWh, which costs ${(kilowattHours * PRICE * 100).toPrecision(2)} cents`;
    tell(
      "Only work protects a chain, and only more of it than a thief can pay for. A chain that one computer has mined can be rewritten by one computer.",
      "good",
    );
    done();
  }));
  button.disabled = false;
}

const STEPS = { hash: hashStep, signature: signatureStep, transaction: transactionStep, cost: costStep };
attempt(async () => STEPS[exercise.dataset.step]())();
