// A recording as something that can be asked about any moment. Events are added in order of time; nothing is removed.

// How many entries of a list, ordered by `t`, are not after `t`.
export function countAt(list, t) {
  let low = 0, high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle].t <= t) low = middle + 1; else high = middle;
  }
  return low;
}

// The last entry of a list, ordered by `t`, that is not after `t`.
export function lastAt(list, t) {
  const count = list === undefined ? 0 : countAt(list, t);
  return count ? list[count - 1] : undefined;
}

export class History {
  constructor() {
    this.begin = null; // the fields of the first event
    this.duration = 0;
    this.blocks = []; // in order of time; each has lane, children, heard, kept and refused
    this.byHash = new Map();
    this.byHeight = []; // height -> blocks, in order of time
    this.tips = new Map(); // node -> moves
    this.states = new Map();
    this.limits = new Map();
    this.strategies = new Map();
    this.groups = [];
    this.links = new Map(); // "1>2" -> conditions
    this.payments = [];
    this.verdicts = [];
    this.log = []; // {t, text, kind}
    this.lanes = new Map(); // lane -> height of its last block
    this.nodes = 0;
    this.marks = 0;
  }

  add(event) {
    this.duration = Math.max(this.duration, event.t);
    const take = this[`on_${event.event}`];
    if (take) take.call(this, event);
  }

  on_begin(event) { this.begin = event; this.nodes = event.nodes; }

  on_block(event) {
    const parent = this.byHash.get(event.parent);
    const block = { ...event, above: parent, children: 0, heard: new Map(), kept: [], refused: null, mark: 0, index: this.blocks.length };
    block.lane = this.laneFor(block);
    if (parent) parent.children += 1;
    this.lanes.set(block.lane, Math.max(block.height, this.lanes.get(block.lane) ?? 0));
    this.blocks.push(block);
    this.byHash.set(block.hash, block);
    (this.byHeight[block.height] ??= []).push(block);
    if (block.finder !== null) {
      const paid = block.transactions.length ? `, with ${plural(block.transactions.length, "transaction")}` : "";
      this.say(event, `Node ${block.finder} found block ${block.height}${paid}.`);
    }
  }

  // A first child continues its parent's lane; another one takes the nearest lane in which it crosses nothing.
  laneFor(block) {
    if (!block.above) return 0;
    if (block.above.children === 0) return block.above.lane;
    for (let distance = 1; ; distance += 1) {
      for (const lane of [block.above.lane + distance, block.above.lane - distance]) {
        if ((this.lanes.get(lane) ?? -1) < block.above.height) return lane;
      }
    }
  }

  on_heard(event) { this.byHash.get(event.hash)?.heard.set(event.node, event.t); }
  on_withheld(event) { this.keep(event, true); this.say(event, `Node ${event.node} withholds block ${this.name(event.hash)}.`); }
  on_published(event) { this.keep(event, false); this.say(event, `Node ${event.node} publishes block ${this.name(event.hash)}.`); }
  keep(event, on) { this.byHash.get(event.hash)?.kept.push({ t: event.t, on }); }

  on_tip(event) {
    push(this.tips, event.node, event);
    const lost = event.detached.length;
    if (lost) this.say(event, `Node ${event.node} reorganised: ${plural(lost, "block")} detached.`);
  }

  on_invalid(event) {
    const block = this.byHash.get(event.hash);
    if (block && !block.refused) block.refused = event;
    this.say(event, `Node ${event.node} refused block ${event.hash.slice(0, 8)}: ${event.rule}.`);
  }

  on_node(event) { push(this.states, event.node, event); this.say(event, `Node ${event.node} is ${event.state}.`); }
  on_limit(event) {
    push(this.limits, event.node, event);
    this.say(event, `Node ${event.node}: ${event.hash_rate === null ? "no hash-rate limit" : `at most ${rate(event.hash_rate)}`}.`);
  }
  on_strategy(event) {
    push(this.strategies, event.node, event);
    this.say(event, `Node ${event.node} mines by the strategy ${event.name ?? "honest"}.`);
  }
  on_link(event) {
    push(this.links, `${event.from}>${event.to}`, event);
    const limit = event.rate === null ? "" : `, ${event.rate} bytes/s`;
    this.say(event, `Link ${event.from} to ${event.to}: ${event.cut ? "cut" : `latency ${event.latency} s, jitter ${event.jitter} s${limit}`}.`);
  }
  on_groups(event) {
    this.groups.push(event);
    const sides = event.groups.map((group) => group.join(" ")).join(" | ");
    this.say(event, event.groups.length > 1 ? `Partition: ${sides}.` : "All nodes reach each other.");
  }
  on_payment(event) {
    this.payments.push(event);
    this.say(event, `Node ${event.node} pays ${event.amount} to ${event.to.slice(0, 8)}….`);
  }
  on_said(event) { this.say(event, event.text, "said"); }
  on_verdict(event) {
    this.verdicts.push(event);
    this.say(event, `${event.held ? "Held" : "Did not hold"}: ${event.claim}.`, event.held ? "held" : "broken");
  }

  say(event, text, kind = "event") { this.log.push({ t: event.t, text, kind }); }
  name(hash) { return this.byHash.get(hash)?.height ?? hash.slice(0, 8); }

  // What can be seen at the moment `t`.
  at(t) {
    const numbers = Array.from({ length: this.nodes }, (_, index) => index + 1);
    return {
      t,
      nodes: numbers.map((node) => ({
        node,
        tip: lastAt(this.tips.get(node), t)?.hash,
        state: lastAt(this.states.get(node), t)?.state ?? "running",
        limit: lastAt(this.limits.get(node), t)?.hash_rate ?? null,
        strategy: lastAt(this.strategies.get(node), t)?.name ?? null,
      })),
      groups: lastAt(this.groups, t)?.groups ?? [numbers],
      shown: this.countAt(t),
    };
  }

  // How many blocks were found by the moment `t`.
  countAt(t) { return countAt(this.blocks, t); }

  // Mark the blocks that are in the chain of some node: their `mark` is the number that is returned.
  mark(moment) {
    const tips = moment.nodes.map((node) => node.tip).join();
    if (tips === this.marked) return this.marks;
    this.marked = tips;
    this.marks += 1;
    for (const { tip } of moment.nodes) {
      for (let block = this.byHash.get(tip); block && block.mark !== this.marks; block = block.above) block.mark = this.marks;
    }
    return this.marks;
  }
}

export function plural(count, word) { return `${count} ${word}${count === 1 ? "" : "s"}`; }

export function rate(value) {
  for (const [size, unit] of [[1e9, "GH/s"], [1e6, "MH/s"], [1e3, "kH/s"]]) {
    if (value >= size) return `${(value / size).toLocaleString("en", { maximumSignificantDigits: 3 })} ${unit}`;
  }
  return `${Math.round(value)} H/s`;
}

function push(map, key, event) {
  if (!map.has(key)) map.set(key, []);
  map.get(key).push(event);
}
