// The page "Send": a wallet in the browser if there is one, a signed transaction, and the faucet.

const $ = (id) => document.getElementById(id);

function tell(box, words, kind, link) {
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

const linkTo = (id) => ({ href: `/tx/${id}`, text: `Transaction ${id.slice(0, 12)}…` });

async function post(path, value) {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: typeof value === "string" ? value : JSON.stringify(value),
  });
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.detail ?? "The node refused it.");
  return body;
}

async function submit(text) {
  if (/^0x[0-9a-fA-F]+$/.test(text)) {
    const answer = await post("/rpc", { jsonrpc: "2.0", id: 1, method: "eth_sendRawTransaction", params: [text] });
    if (answer.error) throw new Error(answer.error.message);
    return answer.result.slice(2);
  }
  return (await post("/transactions/new", text)).id; // as it was typed: parsed as numbers here, amounts would lose digits
}

$("raw-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  $("raw-send").disabled = true;
  try {
    const id = await submit($("raw").value.trim());
    tell($("raw-state"), "Admitted: the transaction is in the mempool, and on disk.", "good", linkTo(id));
  } catch (error) {
    tell($("raw-state"), error.message, "bad");
  } finally {
    $("raw-send").disabled = false;
  }
});

$("faucet-form")?.addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    const answer = await post("/faucet", { address: $("faucet-address").value.trim() });
    tell($("faucet-state"), "The coins are on their way.", "good", answer.id && linkTo(answer.id));
  } catch (error) {
    tell($("faucet-state"), error.message, "bad");
  }
});

// --- EIP-1193 ---

const wallet = $("wallet");
const rpcUrl = `${location.origin}/rpc`;

function units(text, decimals) {
  const [whole, fraction = ""] = text.split(".");
  return `0x${(BigInt(whole) * 10n ** BigInt(decimals) + BigInt(fraction.padEnd(decimals, "0") || "0")).toString(16)}`;
}

async function withWallet(words, action) {
  const state = $("wallet-state");
  state.textContent = words;
  try {
    const done = await action(window.ethereum);
    state.textContent = done.words;
    if (done.link) {
      const anchor = document.createElement("a");
      anchor.href = done.link.href;
      anchor.textContent = done.link.text;
      state.append(" ", anchor);
    }
  } catch (error) {
    state.textContent = error?.code === 4001 ? "You declined in the wallet." : (error?.message ?? "The wallet refused it.");
  }
}

const chainId = () => `0x${Number(wallet.dataset.chainId).toString(16)}`;

async function addChain(ethereum) {
  await ethereum.request({
    method: "wallet_addEthereumChain",
    params: [{
      chainId: chainId(),
      chainName: wallet.dataset.chainName,
      nativeCurrency: {
        name: wallet.dataset.name,
        symbol: wallet.dataset.symbol,
        decimals: Number(wallet.dataset.decimals),
      },
      rpcUrls: [rpcUrl],
      blockExplorerUrls: [location.origin],
    }],
  });
  return { words: "The wallet knows this chain now." };
}

async function watchToken(ethereum) {
  const options = {
    address: wallet.dataset.token,
    symbol: wallet.dataset.symbol,
    decimals: Number(wallet.dataset.decimals),
  };
  await ethereum.request({ method: "wallet_watchAsset", params: { type: "ERC20", options } });
  return { words: "The wallet shows the token now." };
}

// These two addresses have no keys, and the node refuses transactions to them. The form says so before it is sent.
function checkPayee(input) {
  const to = input.value.trim().toLowerCase();
  const lost = { ["0x" + "0".repeat(40)]: "the zero address", [wallet?.dataset.token.toLowerCase()]: "the token's own address" };
  input.setCustomValidity(lost[to] ? `This is ${lost[to]}: no one has its key, and coins sent there would be lost.` : "");
}

for (const id of ["wallet-to", "faucet-address"]) $(id)?.addEventListener("input", (event) => checkPayee(event.target));

async function sendWith(ethereum) {
  const [from] = await ethereum.request({ method: "eth_requestAccounts" });
  if ((await ethereum.request({ method: "eth_chainId" })) !== chainId()) {
    await ethereum.request({ method: "wallet_switchEthereumChain", params: [{ chainId: chainId() }] });
  }
  const value = units($("wallet-amount").value.trim(), Number(wallet.dataset.decimals));
  const to = $("wallet-to").value.trim();
  const id = await ethereum.request({ method: "eth_sendTransaction", params: [{ from, to, value }] });
  return { words: "Sent.", link: linkTo(id.replace(/^0x/, "")) };
}

if (wallet) {
  $("rpc-url").textContent = rpcUrl;
  const ready = () => {
    $("wallet-state").textContent = "A wallet was found. It signs; this page never sees a key.";
    for (const id of ["wallet-add", "wallet-token", "wallet-send"]) $(id).disabled = false;
  };
  if (window.ethereum) ready();
  else {
    $("wallet-state").textContent = "No wallet was found in this browser. Any wallet that supports EIP-1193 works; or add the chain by hand with the values below.";
    window.addEventListener("ethereum#initialized", ready, { once: true });
  }
  $("wallet-add").addEventListener("click", () => withWallet("Asking the wallet…", addChain));
  $("wallet-token").addEventListener("click", () => withWallet("Asking the wallet…", watchToken));
  $("wallet-form").addEventListener("submit", (event) => {
    event.preventDefault();
    withWallet("Asking the wallet…", sendWith);
  });
}
