// Searches ranges of proofs beside the page /join, one message at a time. The page ends it with `terminate`.

import { search } from "./sha256-proofs.js";

self.addEventListener("message", ({ data: { seal, start, stop, shareDifficulty, difficulty } }) => {
  const began = performance.now();
  const found = search(seal, start, stop, shareDifficulty, difficulty);
  self.postMessage({ ...found, seconds: (performance.now() - began) / 1000 });
});
