// Searches a proof beside the page, in slices, and reports after each. The page ends it with `terminate`.

import { search } from "./ledger.js";

const SLICE = 8192; // proofs: some 20 ms

self.addEventListener("message", ({ data: { seal, difficulty, most } }) => {
  const began = performance.now();
  for (let tried = 0; tried < most; ) {
    const found = search(seal, difficulty, tried, SLICE);
    tried += found.tried;
    self.postMessage({ ...found, tried, seconds: (performance.now() - began) / 1000 });
    if (found.proof !== null) return;
  }
});
