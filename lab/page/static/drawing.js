// The block tree of all nodes on a canvas: height to the right, branches below each other.

const BLOCK_WIDTH = 46, BLOCK_HEIGHT = 30, STEP = 74, LANE = 74, MARGIN = 60;
const SMALLEST = 0.005, LARGEST = 1.6, DETAILED = 0.35; // scales

export class Drawing {
  constructor(canvas, history) {
    this.canvas = canvas;
    this.history = history;
    this.context = canvas.getContext("2d");
    this.scale = 1;
    this.left = 0; // of the tree, in its own units
    this.middle = 0;
    this.follows = true; // whether the newest block stays in sight
    this.chosen = null; // hash
    this.colours();
    this.resize();
  }

  colours() {
    const style = getComputedStyle(document.documentElement);
    const get = (name) => style.getPropertyValue(name).trim();
    this.ink = get("--ink"); this.muted = get("--muted"); this.line = get("--line-strong");
    this.surface = get("--surface"); this.bad = get("--bad"); this.focus = get("--focus");
    this.palette = Array.from({ length: 8 }, (_, index) => get(`--node-${index + 1}`));
  }

  colour(node) { return node === null ? this.muted : this.palette[(node - 1) % this.palette.length]; }

  resize() {
    const ratio = window.devicePixelRatio || 1;
    this.width = this.canvas.clientWidth;
    this.height = this.canvas.clientHeight;
    this.canvas.width = Math.round(this.width * ratio);
    this.canvas.height = Math.round(this.height * ratio);
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
  }

  // Zoom about a point of the canvas.
  zoom(factor, x = this.width / 2) {
    const scale = Math.min(LARGEST, Math.max(SMALLEST, this.scale * factor));
    this.left += x / this.scale - x / scale;
    this.scale = scale;
  }

  pan(dx, dy) { this.follows = false; this.left -= dx / this.scale; this.middle -= dy / this.scale; }

  // Show everything that there is at a moment. Returns whether its blocks can still be told apart.
  fit(moment) {
    const blocks = this.history.blocks.slice(0, moment.shown);
    if (!blocks.length) return true;
    let highest = 0, low = 0, high = 0;
    for (const block of blocks) {
      highest = Math.max(highest, block.height);
      low = Math.min(low, block.lane);
      high = Math.max(high, block.lane);
    }
    this.follows = false;
    const wide = (highest + 1) * STEP + MARGIN, tall = (high - low + 2) * LANE;
    this.scale = Math.min(1, Math.max(SMALLEST, Math.min(this.width / wide, this.height / tall)));
    this.left = -MARGIN / 2;
    this.middle = ((low + high) / 2) * LANE;
    return this.scale > DETAILED;
  }

  place(block) {
    return [
      (block.height * STEP - this.left) * this.scale,
      (block.lane * LANE - this.middle) * this.scale + this.height / 2,
    ];
  }

  // The block at a point of the canvas.
  find(x, y, moment) {
    const wide = Math.max(6, (BLOCK_WIDTH / 2) * this.scale), tall = Math.max(6, (BLOCK_HEIGHT / 2) * this.scale);
    for (let index = moment.shown - 1; index >= 0; index -= 1) {
      const block = this.history.blocks[index];
      const [bx, by] = this.place(block);
      if (Math.abs(bx - x) <= wide && Math.abs(by - y) <= tall) return block;
    }
    return null;
  }

  draw(moment) {
    const { context, history } = this;
    if (this.follows) this.keepInSight(moment);
    context.clearRect(0, 0, this.width, this.height);
    const mark = history.mark(moment);
    const visible = this.visible(moment);
    if (this.scale > DETAILED) {
      this.drawCurves(visible);
      for (const block of visible) this.drawBlock(block, ...this.place(block), mark, true, moment);
    } else this.drawFar(visible, mark, moment);
    this.drawTips(moment, this.scale > DETAILED);
  }

  // The blocks whose heights are in sight: all others cost nothing.
  visible(moment) {
    const { byHeight } = this.history, margin = STEP / this.scale, found = [];
    const first = Math.max(0, Math.ceil((this.left - margin) / STEP));
    const last = Math.min(byHeight.length - 1, Math.floor((this.left + this.width / this.scale + margin) / STEP));
    for (let height = first; height <= last; height += 1) {
      for (const block of byHeight[height] ?? []) if (block.index < moment.shown) found.push(block);
    }
    return found;
  }

  drawCurves(visible) {
    const { context } = this;
    context.lineWidth = Math.max(1, 2 * this.scale);
    context.strokeStyle = this.line;
    context.beginPath();
    for (const block of visible) {
      if (!block.above) continue;
      const [x, y] = this.place(block), [fromX, fromY] = this.place(block.above);
      context.moveTo(fromX, fromY);
      context.bezierCurveTo((fromX + x) / 2, fromY, (fromX + x) / 2, y, x, y);
    }
    context.stroke();
  }

  // From afar: one line for each piece of a lane, and the blocks as plain boxes, all of one colour together.
  drawFar(visible, mark, moment) {
    const { context } = this;
    const wide = Math.max(2, BLOCK_WIDTH * this.scale), tall = Math.max(3, BLOCK_HEIGHT * this.scale);
    const boxes = new Map(), pieces = new Map(), special = [];
    context.lineWidth = 1;
    context.strokeStyle = this.line;
    context.beginPath();
    for (const block of visible) {
      const { above } = block, [x, y] = this.place(block);
      if (above && above.lane !== block.lane) {
        const [fromX, fromY] = this.place(above);
        context.moveTo(fromX, fromY);
        context.lineTo(x, y);
      } else if (above) {
        const piece = pieces.get(block.lane);
        if (piece && piece.last === above) { piece.last = block; piece.to = x; }
        else { if (piece) line(context, piece); pieces.set(block.lane, { from: this.place(above)[0], to: x, y, last: block }); }
      }
      if (block.kept.length || block.refused || block.hash === this.chosen) { special.push([block, x, y]); continue; }
      const key = block.mark === mark ? block.finder : `pale ${block.finder}`;
      if (!boxes.has(key)) boxes.set(key, { colour: this.colour(block.finder), alpha: block.mark === mark ? 1 : 0.45, at: [] });
      boxes.get(key).at.push(x, y);
    }
    for (const piece of pieces.values()) line(context, piece);
    context.stroke();
    for (const { colour, alpha, at } of boxes.values()) {
      context.globalAlpha = alpha;
      context.fillStyle = colour;
      for (let place = 0; place < at.length; place += 2) context.fillRect(at[place] - wide / 2, at[place + 1] - tall / 2, wide, tall);
    }
    context.globalAlpha = 1;
    for (const [block, x, y] of special) this.drawBlock(block, x, y, mark, false, moment);
  }

  drawBlock(block, x, y, mark, detailed, moment) {
    const { context } = this;
    const wide = Math.max(2, BLOCK_WIDTH * this.scale), tall = Math.max(3, BLOCK_HEIGHT * this.scale);
    context.globalAlpha = block.mark === mark ? 1 : 0.45;
    context.fillStyle = detailed ? this.surface : this.colour(block.finder);
    context.strokeStyle = this.colour(block.finder);
    context.lineWidth = detailed ? 3 : 1;
    context.setLineDash(isKept(block, moment.t) ? [5, 4] : []);
    context.beginPath();
    context.roundRect(x - wide / 2, y - tall / 2, wide, tall, 6 * this.scale);
    context.fill();
    context.stroke();
    context.setLineDash([]);
    if (block.refused && block.refused.t <= moment.t) this.cross(x, y, wide, tall);
    context.globalAlpha = 1;
    if (block.hash === this.chosen) {
      context.strokeStyle = this.focus;
      context.lineWidth = 3;
      context.strokeRect(x - wide / 2 - 5, y - tall / 2 - 5, wide + 10, tall + 10);
    }
    if (!detailed) return;
    context.fillStyle = this.ink;
    context.font = `600 ${Math.round(13 * this.scale)}px system-ui, sans-serif`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.fillText(String(block.height), x, y + 0.5);
    if (!block.refused || block.refused.t > moment.t) return;
    context.fillStyle = this.bad;
    context.font = `600 ${Math.round(11 * this.scale)}px system-ui, sans-serif`;
    context.fillText(block.refused.rule, x, y + tall / 2 + 8 * this.scale);
  }

  cross(x, y, wide, tall) {
    const { context } = this;
    context.strokeStyle = this.bad;
    context.lineWidth = 3;
    context.beginPath();
    context.moveTo(x - wide / 2, y - tall / 2);
    context.lineTo(x + wide / 2, y + tall / 2);
    context.moveTo(x + wide / 2, y - tall / 2);
    context.lineTo(x - wide / 2, y + tall / 2);
    context.stroke();
  }

  // Each node's marker stands above its tip; markers of one tip stand side by side.
  drawTips(moment, detailed) {
    const { context } = this;
    const together = new Map();
    for (const node of moment.nodes) {
      if (!this.history.byHash.has(node.tip)) continue;
      if (!together.has(node.tip)) together.set(node.tip, []);
      together.get(node.tip).push(node);
    }
    const radius = detailed ? Math.max(8, 10 * this.scale) : 5;
    for (const [hash, nodes] of together) {
      const [x, y] = this.place(this.history.byHash.get(hash));
      const above = y - (BLOCK_HEIGHT / 2) * this.scale - radius - 4;
      nodes.forEach((node, index) => {
        const at = x + (index - (nodes.length - 1) / 2) * (radius * 2 + 1);
        context.globalAlpha = node.state === "running" ? 1 : 0.4;
        context.fillStyle = this.colour(node.node);
        context.beginPath();
        context.arc(at, above, radius, 0, Math.PI * 2);
        context.fill();
        if (detailed) {
          context.fillStyle = this.surface;
          context.font = `700 ${Math.round(radius * 1.2)}px system-ui, sans-serif`;
          context.textAlign = "center";
          context.textBaseline = "middle";
          context.fillText(String(node.node), at, above + 0.5);
        }
        context.globalAlpha = 1;
      });
    }
  }

  keepInSight(moment) {
    let highest = 0, lane = 0;
    for (const node of moment.nodes) {
      const block = this.history.byHash.get(node.tip);
      if (block && block.height >= highest) { highest = block.height; lane = block.lane; }
    }
    this.left = (highest + 1) * STEP - this.width / this.scale + MARGIN;
    if (this.left < -MARGIN) this.left = -MARGIN;
    this.middle = lane * LANE;
  }
}

function line(context, piece) {
  context.moveTo(piece.from, piece.y);
  context.lineTo(piece.to, piece.y);
}

export function isKept(block, t) {
  let kept = false;
  for (const each of block.kept) if (each.t <= t) kept = each.on;
  return kept;
}
