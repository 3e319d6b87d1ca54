// Looks for shares: proofs whose SHA-256, after a seal of 64 characters, is small enough. The seal is one input block, so
// its part is computed once for each lease, and one block remains for each proof.

const K = new Int32Array([
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
  0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
  0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
  0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
  0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
  0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
  0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
  0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
]);
const INITIAL = [
  0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
];
const W = new Int32Array(64);

// The state after one block: W[0] to W[15] of `block`, added to `state`. Both are Int32Array; `out` takes 8 words.
function compress(state, block, out) {
  for (let i = 0; i < 16; i++) W[i] = block[i];
  for (let i = 16; i < 64; i++) {
    const x = W[i - 15], y = W[i - 2];
    const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
    const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
    W[i] = (W[i - 16] + s0 + W[i - 7] + s1) | 0;
  }
  let a = state[0], b = state[1], c = state[2], d = state[3], e = state[4], f = state[5], g = state[6], h = state[7];
  for (let i = 0; i < 64; i++) {
    const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
    const t1 = (h + s1 + (g ^ (e & (f ^ g))) + K[i] + W[i]) | 0;
    const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
    const t2 = (s0 + ((a & b) | (c & (a | b)))) | 0;
    h = g; g = f; f = e; e = (d + t1) | 0; d = c; c = b; b = a; a = (t1 + t2) | 0;
  }
  out[0] = state[0] + a; out[1] = state[1] + b; out[2] = state[2] + c; out[3] = state[3] + d;
  out[4] = state[4] + e; out[5] = state[5] + f; out[6] = state[6] + g; out[7] = state[7] + h;
}

function midstate(seal) {
  const block = new Int32Array(16);
  for (let i = 0; i < 64; i++) block[i >> 2] |= seal.charCodeAt(i) << (24 - 8 * (i & 3));
  const out = new Int32Array(8);
  compress(Int32Array.from(INITIAL), block, out);
  return out;
}

function asNumber(words) {
  let value = 0n;
  for (const word of words) value = (value << 32n) | BigInt(word >>> 0);
  return value;
}

// The shares among the proofs from `start` (included) to `stop` (excluded), and the first of them that makes a block, at
// which the search ends. Proofs are below 2^53, so they are exact.
export function search(seal, start, stop, shareDifficulty, difficulty) {
  if (seal.length !== 64) throw new Error("a seal has 64 characters");
  const state = midstate(seal), block = new Int32Array(16), out = new Int32Array(8), shares = [];
  const most = ((1n << 256n) - 1n) / BigInt(shareDifficulty), enough = ((1n << 256n) - 1n) / BigInt(difficulty);
  const first = Number(most >> 224n);
  let digits = 0;
  const begin = (proof) => {
    const text = String(proof);
    digits = text.length;
    block.fill(0);
    for (let i = 0; i < digits; i++) block[i >> 2] |= text.charCodeAt(i) << (24 - 8 * (i & 3));
    block[digits >> 2] |= 0x80 << (24 - 8 * (digits & 3));
    block[15] = 8 * (64 + digits);
  };
  begin(start);
  const last = new Uint8Array(20);
  const read = (proof) => { const text = String(proof); for (let i = 0; i < text.length; i++) last[i] = text.charCodeAt(i) - 48; };
  read(start);
  for (let proof = start; proof < stop; proof++) {
    compress(state, block, out);
    if ((out[0] >>> 0) <= first) {
      const hash = asNumber(out);
      if (hash <= most) shares.push(proof);
      if (hash <= enough) return { shares, done: proof + 1, found: true };
    }
    // The next decimal number, digit by digit.
    let at = digits - 1;
    while (at >= 0 && last[at] === 9) {
      last[at] = 0;
      block[at >> 2] -= 9 << (24 - 8 * (at & 3));
      at--;
    }
    if (at < 0) {
      begin(proof + 1);
      read(proof + 1);
    } else {
      last[at]++;
      block[at >> 2] += 1 << (24 - 8 * (at & 3));
    }
  }
  return { shares, done: stop, found: false };
}
