// A lab that runs: its events as they happen, and its controls.

import { Player, element } from "./player.js";
import { lastAt, plural, rate } from "./history.js";

const $ = (id) => document.getElementById(id);
const STRATEGIES = JSON.parse(document.body.dataset.strategies);  // what the control sends: what events call it
const URLS = JSON.parse(document.body.dataset.urls); // of the nodes' explorers
const player = new Player();
const MOST_RATE = 4e6, MOST_LATENCY = 5, MOST_JITTER = 2;
// What a person has chosen in these stays when the controls are drawn anew.
const CHOICES = ["link-from", "link-to", "payer", "payee", "amount"];
let shownControls = "";

const source = new EventSource("/events");
source.onopen = () => { $("connection").textContent = "Live"; };
source.onerror = () => { $("connection").textContent = "Not connected; trying again"; };
source.onmessage = (message) => player.add([JSON.parse(message.data)]);
player.listeners.push(renderControls);

async function post(path, value) {
  const response = await fetch(path, {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(value),
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.detail);
  return answer;
}

// Ask the lab for something; what it refuses is shown as it says it.
async function act(call, values = {}) {
  $("refusal").hidden = true;
  try {
    await post("/control", { call, ...values });
  } catch (error) {
    $("refusal").textContent = error.message;
    $("refusal").hidden = false;
  }
}

function renderControls(moment) {
  const key = JSON.stringify([moment.nodes.map((each) => [each.state, each.limit, each.strategy]), moment.groups, player.history.payments.length]);
  const focused = document.activeElement;
  const adjusting = $("controls").contains(focused) && focused.type === "range"; // it is not taken away meanwhile
  if (key === shownControls || adjusting) { if (shownControls) showValues(moment); return; }
  shownControls = key;
  const chosen = CHOICES.map((id) => $(id)?.value);
  $("controls").replaceChildren(...moment.nodes.map(nodeControls), linkControls(moment), paymentControls(moment));
  CHOICES.forEach((id, place) => { if (chosen[place]) $(id).value = chosen[place]; });
  renderGroups(moment);
  showValues(moment);
  if (focused?.id) $(focused.id)?.focus();
}

// The sliders stand where the nodes and links are; of several links, where the slowest is.
function showValues(moment) {
  const { links } = player.history, all = moment.nodes.map((each) => each.node);
  const chosen = (id) => $(id).value === "all" ? all : [$(id).value];
  const now = chosen("link-from").flatMap((from) => chosen("link-to").map((to) => lastAt(links.get(`${from}>${to}`), moment.t)));
  for (const name of ["latency", "jitter"]) $(name).show(Math.max(0, ...now.map((link) => link?.[name] ?? 0)));
  const rates = moment.nodes.map((each) => each.limit ?? MOST_RATE), total = rates.reduce((sum, each) => sum + each, 0);
  moment.nodes.forEach((node, place) => {
    const dial = $(`rate-${node.node}`);
    dial.others = total - rates[place];
    dial.show(rates[place], node.limit === null ? "Hash power: no limit" : undefined);
  });
}

function powerText(shown, others) {
  const share = shown + others ? Math.round((100 * shown) / (shown + others)) : 0;
  return `Hash power: ${rate(shown)}, ${share} % of all`;
}

function nodeControls(node) {
  const dial = slider(`rate-${node.node}`, 0, MOST_RATE, MOST_RATE / 40, (set) => act("limit", { node: node.node, rate: set }),
    (shown) => powerText(shown, dial.others));
  const strategy = element("select", { id: `strategy-${node.node}` },
    ...["", ...Object.keys(STRATEGIES)].map((key) =>
      option(key, key || "honest", (node.strategy ?? "") === (STRATEGIES[key] ?? ""))));
  strategy.addEventListener("change", () => act("strategy", { node: node.node, name: strategy.value || null }));
  const running = node.state === "running";
  return element("fieldset", {},
    element("legend", {}, element("span", { class: `node node-${((node.node - 1) % 8) + 1}` }, `Node ${node.node}`)),
    dial.label,
    ...(Object.keys(STRATEGIES).length ? [element("label", {}, "Strategy", strategy)] : []),
    element("div", { class: "row" },
      ...(running ? [button(`stop-${node.node}`, "Stop", () => act("stop", { node: node.node })), button(`kill-${node.node}`, "Kill", () => act("kill", { node: node.node }))]
        : [button(`start-${node.node}`, "Start", () => act("start", { node: node.node }))]),
      ...(URLS[node.node] ? [element("a", { href: URLS[node.node], target: "_blank", rel: "noopener" }, "Explorer")] : [])));
}

function linkControls(moment) {
  const nodes = moment.nodes.map((each) => each.node);
  const from = element("select", { id: "link-from" }, option("all", "all nodes", true), ...nodes.map((each) => option(each, `node ${each}`)));
  const to = element("select", { id: "link-to" }, option("all", "all nodes", true), ...nodes.map((each) => option(each, `node ${each}`)));
  for (const choice of [from, to]) choice.addEventListener("change", () => showValues(player.history.at(player.t)));
  const set = (values) => act("link", { from: from.value === "all" ? null : Number(from.value), to: to.value === "all" ? null : Number(to.value), ...values });
  return element("fieldset", {}, element("legend", {}, "Links"),
    element("div", { class: "row" }, element("label", {}, "From", from), element("label", {}, "To", to)),
    slider("latency", 0, MOST_LATENCY, 0.1, (value) => set({ latency: value }), (value) => `Latency: ${value} s`).label,
    slider("jitter", 0, MOST_JITTER, 0.1, (value) => set({ jitter: value }), (value) => `Jitter: up to ${value} s`).label,
    element("div", { class: "row" }, button("cut", "Cut", () => set({ cut: true })), button("restore", "Restore", () => set({ cut: false }))));
}

function paymentControls(moment) {
  const nodes = moment.nodes.map((each) => each.node);
  const payer = element("select", { id: "payer" }, ...nodes.map((each) => option(each, `node ${each}`)));
  const payee = element("select", { id: "payee" }, ...nodes.map((each) => option(each, `node ${each}`, each === 2)));
  const amount = element("input", { id: "amount", value: "0.5", inputmode: "decimal" });
  const values = () => ({ node: Number(payer.value), to: Number(payee.value), amount: amount.value });
  const count = player.history.payments.length;
  return element("fieldset", {}, element("legend", {}, "Payments"),
    element("div", { class: "row" }, element("label", {}, "From", payer), element("label", {}, "To", payee)),
    element("label", {}, "Coins", amount),
    element("div", { class: "row" }, button("pay", "Send", () => act("send", values())),
      ...(count ? [button("double-spend", "Double-spend the last one", () => act("double_spend", {}))] : [])),
    element("p", { class: "note" }, count ? `${plural(count, "payment")} so far.` : "A node can pay what it has mined."));
}

function renderGroups(moment) {
  const groups = moment.groups.map((group) => [...group]);
  const move = (node, index) => {
    const next = groups.map((group) => group.filter((each) => each !== node));
    if (index === next.length) next.push([]);
    next[index].push(node);
    act("partition", { groups: next.filter((group) => group.length) });
  };
  const boxes = [...groups, []].map((group, index) => {
    const box = element("div", { class: "group", role: "group", "aria-label": index < groups.length ? `Group ${letter(index)}` : "A new group" },
      element("p", { class: "muted" }, index < groups.length ? `Group ${letter(index)}` : "A new group"),
      ...group.map((node) => {
        const member = element("div", { class: "member", draggable: "true" }, element("span", { class: `node node-${((node - 1) % 8) + 1}` }, `Node ${node}`));
        member.addEventListener("dragstart", (event) => event.dataTransfer.setData("text/plain", String(node)));
        const next = (index + 1) % (groups.length + (group.length > 1 ? 1 : 0));
        if (next !== index) member.append(button(`move-${node}`, `To ${letter(next)}`, () => move(node, next)));
        return member;
      }));
    box.addEventListener("dragover", (event) => { event.preventDefault(); box.classList.add("over"); });
    box.addEventListener("dragleave", () => box.classList.remove("over"));
    box.addEventListener("drop", (event) => {
      event.preventDefault();
      const node = Number(event.dataTransfer.getData("text/plain"));
      if (moment.nodes.some((each) => each.node === node) && !group.includes(node)) move(node, index);
    });
    return box;
  });
  $("groups").replaceChildren(...boxes);
}

// A slider and its label, which says the value, also while it is moved.
function slider(id, min, max, step, set, say) {
  const made = element("input", { type: "range", id, min, max, step });
  const said = element("span", {});
  made.label = element("label", {}, said, made);
  made.show = (value, text = say(value)) => {
    if (made === document.activeElement) return; // somebody moves it
    made.value = value;
    if (said.textContent !== text) said.textContent = text;
  };
  made.addEventListener("input", () => { said.textContent = say(Number(made.value)); });
  made.addEventListener("change", () => set(Number(made.value)));
  return made;
}

function button(id, label, act) {
  const made = element("button", { type: "button", id }, label);
  made.addEventListener("click", act);
  return made;
}

function option(value, label, selected = false) {
  return element("option", selected ? { value, selected: "" } : { value }, label);
}

function letter(index) { return String.fromCharCode(65 + index); }

$("heal").addEventListener("click", () => act("heal"));

for (const exercise of document.querySelectorAll("[data-exercise]")) {
  exercise.querySelector(".check").addEventListener("click", async () => {
    const chosen = exercise.querySelector("input:checked");
    const said = exercise.querySelector(".said");
    try {
      const answer = await post(`/exercises/${exercise.dataset.exercise}`, { choice: chosen ? Number(chosen.value) : null });
      said.textContent = answer.said;
      said.classList.toggle("good", answer.done);
      exercise.querySelector(".done").hidden = !answer.done;
    } catch (error) {
      said.textContent = error.message;
    }
    said.hidden = false;
  });
}
