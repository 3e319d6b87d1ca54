// The ledger's formats in JavaScript, as docs/consensus.md states them: canonical bytes, hashes, keys, transactions and
// blocks of the standard rules. Pure functions for the pages and for the worker that mines; Node.js runs them too. Whole
// numbers above 2^53 - 1, which a nonce of the scheme "ethereum" may be, are not exact here.

import { sha256, sha512 } from "./vendor/noble-hashes/sha2.js";
import { keccak_256 } from "./vendor/noble-hashes/sha3.js";
import * as ed25519 from "./vendor/noble-ed25519/index.js";

ed25519.hashes.sha512 = sha512;

const encoder = new TextEncoder();
const LIMIT = 1n << 256n;
const DOMAIN = "quarry-transaction:";
const SIGNATURE_FIELDS = ["scheme", "signature", "public_key"];

export const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
export const unhex = (text) => Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
const utf8 = (text) => encoder.encode(text);

// SHA-256 of a text, as 64 hex digits.
export const hashText = (text) => hex(sha256(utf8(text)));

// Canonical text: sorted keys, separators ", " and ": ", and only ASCII characters, others escaped.
export function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(", ")}]`;
  if (value !== null && typeof value === "object") {
    const names = Object.keys(value).sort();
    return `{${names.map((name) => `${canonical(name)}: ${canonical(value[name])}`).join(", ")}}`;
  }
  const escaped = (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return JSON.stringify(value).replace(/[\u007f-\uffff]/g, escaped);
}

const without = (fields, ...names) => Object.fromEntries(Object.entries(fields).filter(([name]) => !names.includes(name)));

// --- Keys and signatures ---

// The last 20 bytes of the Keccak-256 of the public key; the case of the letters is the checksum of EIP-55.
export function addressOf(publicKey) {
  const digits = hex(keccak_256(publicKey).slice(-20));
  const check = hex(keccak_256(utf8(digits)));
  return `0x${Array.from(digits, (digit, i) => (check[i] >= "8" ? digit.toUpperCase() : digit)).join("")}`;
}

// A key pair from its 32 secret bytes, or a new one.
export function keyPair(secret = crypto.getRandomValues(new Uint8Array(32))) {
  const publicKey = ed25519.getPublicKey(secret);
  return { secret, publicKey, address: addressOf(publicKey) };
}

export const signText = (text, key) => hex(ed25519.sign(utf8(text), key.secret));

// Whether a signature (hex) of a text fits a public key (hex).
export function fits(text, signature, publicKey) {
  if (!/^[0-9a-f]{128}$/.test(signature) || !/^[0-9a-f]{64}$/.test(publicKey)) return false;
  return ed25519.verify(unhex(signature), utf8(text), unhex(publicKey), { zip215: false });
}

// --- Transactions ---

// What an Ed25519 signature signs, as text. Its SHA-256 is the transaction's id.
export const signingText = (transaction) => DOMAIN + canonical(without(transaction, ...SIGNATURE_FIELDS));
export const idOf = (transaction) => hashText(signingText(transaction));

export function signTransaction(unsigned, key) {
  const signature = signText(signingText(unsigned), key);
  return { ...unsigned, scheme: "ed25519", public_key: hex(key.publicKey), signature };
}

// Why a node refuses the transaction for its signature; "" if the signature is good.
export function refusal(transaction) {
  if (addressOf(unhex(transaction.public_key)) !== transaction.sender) return "The public key is not the sender's.";
  if (!fits(signingText(transaction), transaction.signature, transaction.public_key)) return "The signature does not fit.";
  return "";
}

// The first transaction of a block.
export const rewardFor = (chainId, height, recipient, amount) => ({
  type: "reward", chain_id: chainId, nonce: height, sender: "0", recipient, amount, fee: "0",
});

// --- Blocks ---

// As in RFC 6962: pairs are hashed, level by level; an odd last hash moves up unchanged.
export function merkleRoot(transactions) {
  if (!transactions.length) return hashText("");
  let level = transactions.map((item) => sha256(Uint8Array.of(0, ...utf8(canonical(item)))));
  while (level.length > 1) {
    const above = [];
    for (let i = 0; i < level.length; i += 2) {
      above.push(i + 1 < level.length ? sha256(Uint8Array.of(1, ...level[i], ...level[i + 1])) : level[i]);
    }
    level = above;
  }
  return hex(level[0]);
}

// The canonical text of a block's header without its proof. The SHA-256 of it is the seal.
export const headerText = (block) => canonical(without(block, "transactions", "proof"));
export const sealOf = (block) => hashText(headerText(block));
export const hashOf = (seal, proof) => hashText(seal + String(proof));
export const blockHash = (block) => hashOf(sealOf(block), block.proof);
export const isRare = (hash, difficulty) => BigInt(`0x${hash}`) * BigInt(difficulty) < LIMIT;

// Whether a chain replaces another: more chainwork, and on a tie the lower hash.
export const isBetter = (candidate, current) =>
  candidate.chainwork === current.chainwork ? candidate.hash < current.hash : candidate.chainwork > current.chainwork;

// Try `count` proofs from `first` on. The seal fills one input block of SHA-256, whose state is computed only once.
export function search(seal, difficulty, first, count) {
  const begun = sha256.create().update(utf8(seal));
  const most = LIMIT / BigInt(difficulty) + (LIMIT % BigInt(difficulty) ? 1n : 0n); // hashes below it are rare
  const high = Number(most >> 224n); // for a first look at the first 32 bits, since BigInt is slow
  for (let proof = first; proof < first + count; proof++) {
    const digest = begun.clone().update(utf8(String(proof))).digest();
    const top = ((digest[0] << 24) | (digest[1] << 16) | (digest[2] << 8) | digest[3]) >>> 0;
    if (top <= high && isRare(hex(digest), difficulty)) return { proof, hash: hex(digest), tried: proof - first + 1 };
  }
  const last = first + count - 1;
  return { proof: null, last, hash: hashOf(seal, last), tried: count };
}
