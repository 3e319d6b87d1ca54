// Mining in a page: a worker searches, the page shows how far it is, and the search ends when the reader leaves.

const running = new Set();

// Search a proof for `seal`. `show` gets {proof, last, hash, tried, seconds} after each slice; `proof` is null until
// one is found. Resolves to the last of these, or to null if the search was stopped.
export function mine(seal, difficulty, show, most = Number.MAX_SAFE_INTEGER) {
  const worker = new Worker(new URL("mining-worker.js", import.meta.url), { type: "module" });
  return new Promise((resolve, reject) => {
    const end = (result) => {
      worker.terminate();
      running.delete(stop);
      resolve(result);
    };
    const stop = () => end(null);
    running.add(stop);
    worker.addEventListener("message", ({ data }) => {
      if (!running.has(stop)) return; // it was posted before the search was stopped
      show(data);
      if (data.proof !== null || data.tried >= most) end(data);
    });
    worker.addEventListener("error", () => {
      reject(new Error("This browser does not run the part of the page that mines. Try a newer one."));
      end(null);
    });
    worker.postMessage({ seal, difficulty, most });
  });
}

export const isMining = () => running.size > 0;

export function stopMining() {
  for (const stop of [...running]) stop();
}

// A page that nobody looks at uses no electricity.
addEventListener("pagehide", stopMining);
document.addEventListener("visibilitychange", () => {
  if (document.hidden) stopMining();
});
