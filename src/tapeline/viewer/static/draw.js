// The session at a glance, and its last moments: best prices, trades or volume, own orders and fills. Drawn on canvases: they are redrawn with every step.
const PAD = { left: 4, right: 62, top: 6, bottom: 18 };
const STEPS_MS = [1, 10, 100, 1e3, 5e3, 15e3, 60e3, 300e3, 900e3, 3600e3, 4 * 3600e3, 24 * 3600e3, 7 * 24 * 3600e3];

const quantile = (sorted, q) => sorted[Math.min(sorted.length - 1, Math.max(0, Math.round(q * (sorted.length - 1))))];

/** Where times and prices lie on a canvas of a size; null while there is nothing to show. */
export function scales(overview, width, height) {
  if (!overview || overview.ms.length < 2) return null;
  const { ms, bid, ask } = overview;
  const known = bid.map((b, i) => (b === null || ask[i] === null || b >= ask[i] ? null : (b + ask[i]) / 2)).filter((m) => m !== null).sort((a, b) => a - b);
  if (!known.length) return null;
  // stub quotes of the pre-open must not squeeze the day into a line
  const low = quantile(known, 0.005), high = quantile(known, 0.995), room = Math.max((high - low) * 0.08, 1e-9);
  const end = ms[ms.length - 1] || 1, right = width - PAD.right, bottom = height - PAD.bottom;
  return {
    end, right, bottom, low: low - room, high: high + room,
    x: (t) => PAD.left + (t / end) * (right - PAD.left),
    y: (p) => bottom - ((p - low + room) / (high - low + 2 * room)) * (bottom - PAD.top),
    ms: (x) => Math.min(Math.max((x - PAD.left) / (right - PAD.left), 0), 1) * end,
  };
}

const clock = (start, ms) => new Date(Number(BigInt(start) / 1000000n) + ms).toISOString();

/** Draw it all. `at`: ms since the start; `colors`: the theme's; `known`: the instrument. */
export function drawOverview(canvas, overview, at, colors, known) {
  const { pen, width, height } = fitted(canvas);
  const s = scales(overview, width, height);
  if (!s) return;
  drawPhases(pen, overview.phases, s, colors);
  drawTimes(pen, overview, s, colors);
  drawVolume(pen, overview, s, colors);
  pen.save();
  pen.beginPath();
  pen.rect(PAD.left, 0, s.right - PAD.left, s.bottom);
  pen.clip();
  drawFills(pen, overview.fills, s, colors);
  for (const [prices, color] of [[overview.bid, colors.buy], [overview.ask, colors.sell]]) drawLine(pen, overview.ms, prices, s, color);
  pen.restore();
  drawPrices(pen, s, colors, known);
  if (at !== null) drawCursor(pen, s, at, colors);
}

/** The last changes of the best prices, the trades at them, and our orders and fills: time runs to the right, up to now. */
export function drawRecent(canvas, scene, colors, known) {
  const { pen, width, height } = fitted(canvas);
  const whole = scene.touches.filter(([, bid, ask]) => bid !== null && ask !== null && bid < ask);
  if (!whole.length) return;
  // as far back as both are whole: so many prices are kept, and so many trades
  const oldest = scene.trades.length < scene.trades_n ? scene.trades[scene.trades.length - 1].ms * 1.05 : -Infinity;
  const start = Math.min(Math.max(whole[0][0], oldest), -1e-3), first = whole.findLastIndex(([ms]) => ms <= start);
  const path = whole.slice(Math.max(first, 0)).map(([ms, ...prices]) => [Math.max(ms, start), ...prices]);
  const trades = scene.trades.filter((t) => t.ms >= start);
  const prices = path.flatMap(([, bid, ask]) => [bid, ask]), room = known.grid * known.step, least = Math.min(...prices), most = Math.max(...prices), reach = Math.max(most - least, 4 * room);
  const own = scene.own.filter((o) => o.price >= least - reach && o.price <= most + reach); // the market has a third of the picture at least: quotes far away are in the ladder
  const all = [...prices, ...own.map((o) => o.price)];
  const low = Math.min(...all) - room, high = Math.max(...all) + room, right = width - PAD.right, bottom = height - PAD.bottom;
  const x = (ms) => PAD.left + (1 - ms / start) * (right - PAD.left), y = (p) => bottom - ((p - low) / (high - low)) * (bottom - PAD.top);
  const ends = [...path.slice(1).map(([ms]) => ms), 0];
  const step = STEPS_MS.find((ms) => (-ms / start) * (right - PAD.left) >= 64) || -start;
  pen.strokeStyle = colors.line;
  for (let t = 0; t >= start; t -= step) {
    pen.textAlign = t ? "center" : "right"; // beside the lowest price
    pen.fillStyle = colors.quiet;
    pen.beginPath();
    pen.moveTo(Math.round(x(t)) + 0.5, PAD.top);
    pen.lineTo(Math.round(x(t)) + 0.5, bottom);
    pen.stroke();
    if (x(t) > 24) pen.fillText(t ? ago(-t) : "now", x(t), bottom + 13);
  }
  for (const [i, color] of [[1, colors.buy], [2, colors.sell]]) {
    pen.strokeStyle = color;
    pen.lineWidth = 1.5;
    pen.beginPath();
    path.forEach((point, k) => { pen.lineTo(x(point[0]), y(point[i])); pen.lineTo(x(ends[k]), y(point[i])); });
    pen.stroke();
  }
  pen.strokeStyle = colors.own;
  pen.lineWidth = Math.min(Math.max((y(low) - y(low + room)) / 3, 1), 3); // quotes at every tick are lines, and no ground
  for (const o of own) {
    pen.beginPath();
    pen.moveTo(x(Math.max(o.ms, start)), y(o.price));
    pen.lineTo(x(0), y(o.price));
    pen.stroke();
  }
  pen.globalAlpha = 0.75;
  for (const t of trades) {
    pen.fillStyle = t.side === "buy" ? colors.buy : t.side === "sell" ? colors.sell : colors.quiet;
    pen.beginPath();
    pen.arc(x(Math.min(t.ms, 0)), y(t.price), Math.min(2 + Math.sqrt(t.size), 11), 0, 7);
    pen.fill();
  }
  pen.globalAlpha = 1;
  drawFills(pen, scene.fills.filter((f) => f.ms >= start).map((f) => [f.ms, f.price, f.side]), { x, y }, colors);
  drawPrices(pen, { low, high, right, y }, colors, known);
}

const ago = (ms) => (ms < 1e3 ? `−${ms} ms` : ms < 120e3 ? `−${ms / 1e3} s` : ms < 3600e3 ? `−${ms / 60e3} min` : `−${ms / 3600e3} h`);

/** A canvas's pen, when it has as many points as the screen. */
function fitted(canvas) {
  const ratio = window.devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  pen.font = "11px system-ui, sans-serif";
  pen.lineWidth = 1; // not what the last picture left
  return { pen, width, height };
}

function drawTimes(pen, overview, s, colors) {
  const step = STEPS_MS.find((ms) => s.x(ms) - s.x(0) >= 74) || s.end;
  const start = Number(BigInt(overview.start) / 1000000n);
  pen.strokeStyle = colors.line;
  pen.fillStyle = colors.quiet;
  pen.textAlign = "center";
  pen.beginPath();
  for (let t = Math.ceil(start / step) * step - start; t <= s.end; t += step) {
    const x = Math.round(s.x(t)) + 0.5;
    pen.moveTo(x, PAD.top);
    pen.lineTo(x, s.bottom);
    const text = clock(overview.start, t);
    const label = step >= 24 * 3600e3 ? text.slice(5, 10) : step >= 60e3 ? text.slice(11, 16) : step >= 1e3 ? text.slice(11, 19) : text.slice(14, 23);
    if (x > 30 && x < s.right - 20) pen.fillText(label, x, s.bottom + 13);
  }
  pen.stroke();
}

/** Auctions, halts and the time after the close: a ground, and its name where there is room. */
function drawPhases(pen, phases, s, colors) {
  pen.textAlign = "left";
  for (const [from, to, name] of phases) {
    const x = s.x(from), width = Math.max(s.x(to) - x, 2);
    pen.globalAlpha = 0.4;
    pen.fillStyle = colors.strong;
    pen.fillRect(x, 0, width, s.bottom);
    pen.globalAlpha = 1;
    pen.fillStyle = colors.quiet;
    if (width > pen.measureText(name).width + 8) pen.fillText(name, x + 4, 12);
  }
}

function drawVolume(pen, overview, s, colors) {
  const width = 3, bins = Math.max(Math.floor((s.right - PAD.left) / width), 1), lots = new Float64Array(bins);
  for (let i = 1; i < overview.ms.length; i++) {
    const bin = Math.min(Math.floor((overview.ms[i] / s.end) * bins), bins - 1);
    lots[bin] += overview.volume[i] - overview.volume[i - 1];
  }
  const most = lots.reduce((a, b) => Math.max(a, b), 0);
  if (!most) return;
  pen.fillStyle = colors.strong;
  // the root: a single sweep must not hide how busy the rest was
  lots.forEach((n, i) => { const h = Math.sqrt(n / most) * (s.bottom - PAD.top) * 0.4; pen.fillRect(PAD.left + i * width, s.bottom - h, width - 1, h); });
}

function drawLine(pen, ms, prices, s, color) {
  pen.strokeStyle = color;
  pen.lineWidth = 1;
  pen.beginPath();
  let y = null;
  prices.forEach((price, i) => {
    if (price === null) { y = null; return; }
    const x = s.x(ms[i]), next = s.y(price);
    if (y === null) pen.moveTo(x, next); else { pen.lineTo(x, y); pen.lineTo(x, next); }
    y = next;
  });
  pen.stroke();
}

function drawFills(pen, fills, s, colors) {
  pen.fillStyle = colors.own;
  pen.globalAlpha = 0.55; // where there are many, they must not hide the prices
  for (const [t, price, side] of fills) {
    const x = s.x(t), y = s.y(price), up = side === "buy" ? 1 : -1;
    pen.beginPath();
    pen.moveTo(x, y + up);
    pen.lineTo(x - 2.5, y + 6 * up);
    pen.lineTo(x + 2.5, y + 6 * up);
    pen.fill();
  }
  pen.globalAlpha = 1;
}

function drawPrices(pen, s, colors, known) {
  pen.fillStyle = colors.quiet;
  pen.textAlign = "left";
  for (const share of [0.08, 0.5, 0.92]) {
    const price = Math.round((s.low + (s.high - s.low) * share) / known.grid) * known.grid;
    pen.fillText(price.toFixed(known.decimals), s.right + 6, s.y(price) + 4);
  }
}

function drawCursor(pen, s, at, colors) {
  const x = s.x(Math.min(Math.max(at, 0), s.end));
  pen.strokeStyle = colors.text;
  pen.lineWidth = 1.5;
  pen.beginPath();
  pen.moveTo(x, 0);
  pen.lineTo(x, s.bottom);
  pen.stroke();
  pen.fillStyle = colors.text;
  pen.beginPath();
  pen.arc(x, s.bottom, 5, 0, 7);
  pen.fill();
}
