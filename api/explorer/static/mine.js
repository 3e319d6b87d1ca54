// The button "Mine a block" on the page about mining.

import { asEvent, hashes, rate, timeLeft } from "./figures.js";

const mine = document.getElementById("mine");

function showMining(words, kind, link) {
  const box = document.getElementById("mine-state");
  box.hidden = false;
  box.className = `notice ${kind}`;
  box.textContent = words;
  if (link) {
    const anchor = document.createElement("a");
    anchor.href = link.href;
    anchor.textContent = link.text;
    box.append(" ", anchor);
  }
}

async function mineBlock() {
  mine.disabled = true;
  showMining("Asked for a block; waiting for the workers.", "");
  try {
    const reply = await fetch("/mine?wait=0", { method: "POST" });
    let answer = await reply.json();
    if (reply.status >= 400) throw new Error(answer.detail);
    let hash = answer.hash;
    const job = answer.job;
    while (!hash) {
      const look = await fetch(`/jobs/${job}?wait=1`);
      answer = await look.json();
      if (!look.ok) throw new Error(answer.detail);
      if (answer.status === "cancelled" || answer.status === "failed") throw new Error(`The request was ${answer.status}.`);
      hash = answer.block;
      if (!hash) await follow(answer.round);
    }
    asked = ""; // no event may replace these words
    showMining("Done.", "good", { href: `/block/${hash}`, text: `Block ${hash.slice(0, 12)}…` });
  } catch (error) {
    showMining(error.message || "The node does not answer.", "bad");
  } finally {
    asked = "";
    mine.disabled = false;
  }
}

let isLive = false; // the page gets events
document.addEventListener("quarry-state", (event) => {
  isLive = event.detail.isLive;
  showAsked(event.detail.state.round);
});

let asked = ""; // the round that will answer the request of the button

// The figures of that round, from the same event as those of the round's panel.
function showAsked(round) {
  if (!asked || round?.id !== asked) return;
  const count = Object.keys(round.workers).length;
  const left = round.expected_seconds === null ? "" : `, ${timeLeft(round.expected_seconds)} expected`;
  showMining(
    `Searching block ${round.height}: ${hashes(round.hashes)} hashes, ${rate(round.rate)} by ${count} worker${count === 1 ? "" : "s"}${left}.`,
    "",
  );
}

async function follow(id) {
  if (!id) {
    showMining("The request waits for its turn.", "");
  } else if (id !== asked || !isLive) {
    const look = await fetch(`/rounds/${id}`);
    asked = id;
    if (look.ok) showAsked(asEvent(await look.json()));
  }
}

if (mine) {
  mine.hidden = false;
  mine.addEventListener("click", mineBlock);
}
