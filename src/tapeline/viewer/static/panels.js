// What is shown of one moment: the ladder, our orders and fills, trades, the tape, features.
import { html, useRef } from "/preact.js";

const SPARSE = 4; // levels are listed without the empty prices between them where these are more than so many times as many
const TINY = 1e-6, ZERO = 1e-12;

export const price = (value, instrument) => (value === null || value === undefined ? "–" : value.toFixed(instrument.decimals));
const lots = (n) => n.toLocaleString("en-US");
const short = (time) => (time ? time.slice(11, 26) : "–");
const words = (name) => name.replaceAll("_", " ");

/** The ticks of the ladder's rows, from the top, and whether every tick is there. Nothing that rests near the middle is ever left out. */
function rowsOf(scene, instrument, count, kept) {
  const { bids, asks } = scene, step = instrument.step;
  if (!bids.length && !asks.length) return { ticks: [], every: true };
  const bid = bids.length ? bids[0][0] : asks[0][0] - step, ask = asks.length ? asks[0][0] : bids[0][0] + step;
  const half = Math.floor(count / 2), near = [...bids.slice(0, half), ...asks.slice(0, half)].map(([tick]) => tick);
  const off = near.some((tick) => tick % step), wide = bid < ask ? ask - bid : 0;
  const reach = (side) => (side.length > 1 ? Math.abs(side[Math.min(half, side.length) - 1][0] - side[0][0]) / (Math.min(half, side.length) - 1) : step);
  if (off || wide > half * step || Math.max(reach(bids), reach(asks)) > SPARSE * step) {
    const all = [...new Set(near)].sort((a, b) => b - a);
    return { ticks: all, every: false };
  }
  const middle = Math.round((bid + ask) / 2 / step) * step;
  if (kept.current === null || kept.instrument !== instrument.index || Math.abs(kept.current - middle) > (half * step) / 2) kept.current = middle;
  kept.instrument = instrument.index;
  return { ticks: Array.from({ length: count }, (_, i) => kept.current + (half - i) * step), every: true };
}

/** What the last event did at a price of a side: the class of the strongest change. */
function changes(scene) {
  const found = new Map();
  const rank = { add: 1, remove: 2, fill: 3 };
  for (const line of scene.tape) {
    const key = `${line.side} ${line.tick}`;
    if (line.is_now && rank[line.kind] > (rank[found.get(key)] || 0)) found.set(key, line.kind);
  }
  return found;
}

export function Ladder({ scene, instrument, rows, kept, hasRun, onOrder }) {
  const { ticks, every } = rowsOf(scene, instrument, rows, kept);
  const sides = [["bid", "buy", scene.bids], ["ask", "sell", scene.asks]];
  const levels = Object.fromEntries(sides.map(([name, , side]) => [name, new Map(side.map((level) => [level[0], level]))]));
  const best = { bid: scene.bids.length ? scene.bids[0][0] : null, ask: scene.asks.length ? scene.asks[0][0] : null };
  const shown = new Set(ticks), most = Math.max(1, ...sides.flatMap(([, , side]) => side.filter(([tick]) => shown.has(tick)).map(([, size]) => size)));
  const changed = changes(scene), own = new Map(), last = scene.trades[0];
  for (const order of scene.own) {
    const key = `${order.side} ${order.tick}`;
    own.set(key, [...(own.get(key) || []), order]);
  }
  const traded = last && last.event === scene.event ? Math.round(last.price / instrument.grid) : null;
  const cells = (name, side, tick) => {
    const level = levels[name].get(tick), size = level ? level[1] : 0, share = (size / most) * 100, mine = own.get(`${side} ${tick}`) || [];
    const edge = name === "bid" ? "right" : "left", bar = `${name} ${best[name] === tick ? "best" : ""} ${changed.get(`${side} ${tick}`) || ""}`;
    const marks = mine.filter((o) => o.ahead !== null && size > 0).map((o) => html`<i class="place" style=${{ [edge]: `${Math.min(o.ahead / size, 1) * share}%` }}></i>`);
    const chip = mine.length > 0 && html`<button class="text chip" title=${mine.map(place).join("\n")} onClick=${() => onOrder(mine[0])}>${mine.reduce((n, o) => n + o.left, 0)}<small> ${mine[0].ahead === null ? "@?" : `@${mine[0].ahead}`}${mine.length > 1 && html`<span class="wide-only"> +${mine.length - 1}</span>`}</small></button>`;
    const parts = [
      html`<td class=${`mine ${name}`}>${chip}</td>`,
      html`<td class=${`count ${name}`}>${level ? level[2] : ""}</td>`,
      html`<td class=${`size ${bar}`}>${size > 0 && html`<div class="depth" style=${{ width: `${share}%` }}></div>`}${marks}<span class="value">${size ? lots(size) : ""}</span></td>`,
    ];
    return name === "bid" ? parts : parts.reverse();
  };
  return html`<section class=${`panel ladder ${hasRun ? "" : "alone"}`} aria-label="ladder"><h2>Ladder<span>${every ? "every tick" : "levels only"}<span class="wide-only">${hasRun ? " · yours: lots @ lots ahead" : ""} · framed: traded now</span></span></h2>
    <table><thead><tr><th class="mine text">yours</th><th class="count">n</th><th class="size">bid</th><th class="price">price</th><th class="size text">ask</th><th class="count text">n</th><th class="mine">yours</th></tr></thead>
    <tbody>${ticks.map((tick) => html`<tr key=${tick} data-tick=${tick} class=${best.ask !== null && tick === best.ask - instrument.step && every ? "edge" : ""}>
      ${cells("bid", "buy", tick)}<td class=${`price ${traded === tick ? `traded ${last.side || ""}` : ""}`}>${price(tick * instrument.grid, instrument)}</td>${cells("ask", "sell", tick)}</tr>`)}</tbody></table>
    ${!ticks.length && html`<p class="empty">The book is empty.</p>`}</section>`;
}

const place = (o) => `order ${o.order_id} of ${o.strategy}: ${o.side} ${o.left} of ${o.size}, ${o.ahead === null ? "place not known" : `${o.ahead} lots ahead`}`;

const named = (line, several) => (several ? html`<span class="whose">${line.strategy}</span> ${line.order_id}` : line.order_id);

export function Orders({ scene, instrument, several, onOrder }) {
  const at = (o) => (o.side === "buy" ? scene.bids : scene.asks).find(([tick]) => tick === o.tick);
  const lines = scene.own.map((o) => {
    const level = at(o), size = level ? level[1] : 0, share = o.ahead !== null && size ? Math.min(o.ahead / size, 1) : 0;
    const label = o.ahead === null ? "not known" : `${lots(o.ahead)} of ${lots(size)}`;
    return html`<tr key=${`${o.row} ${o.order_id}`}><td class="text"><button class="text own-text" title=${o.strategy} onClick=${() => onOrder(o)}>${named(o, several)}</button></td><td class=${`text ${o.side}`}>${o.side}</td><td>${o.left}${o.left < o.size ? ` of ${o.size}` : ""}</td>
      <td title=${o.modifies && o.ahead === null ? "as last accepted: it was modified" : ""}>${price(o.price, instrument)}${o.modifies && o.ahead === null ? "*" : ""}</td><td>${label} ${o.ahead !== null && html`<span class="meter"><i style=${{ width: `${share * 100}%` }}></i></span>`}</td><td>${o.ahead_at_entry === null ? "–" : lots(o.ahead_at_entry)}</td></tr>`;
  });
  return html`<section class="panel" aria-label="orders"><h2>Your orders<span>${scene.own.length || ""}</span></h2>
    ${lines.length ? html`<div class="list"><table><thead><tr><th class="text">order</th><th class="text">side</th><th>lots</th><th>price</th><th>ahead</th><th>at entry</th></tr></thead><tbody>${lines}</tbody></table></div>` : html`<p class="empty">None rests now.</p>`}</section>`;
}

export function Fills({ scene, instrument, several, total, onTime, onOrder }) {
  const lines = scene.fills.map((f) => html`<tr key=${f.number} class=${f.ts === scene.now ? "now" : ""}><td class="text"><button class="text" title=${f.time} onClick=${() => onTime(f.ts)}>${short(f.time)}</button></td><td class=${`text ${f.side}`}>${f.side}</td><td>${f.size}</td>
    <td>${price(f.price, instrument)}</td><td><button class="text own-text" title=${f.strategy} onClick=${() => onOrder(f)}>${named(f, several)}</button></td><td>${f.position}</td><td class="text quiet rule">${words(f.rule)}</td></tr>`);
  const done = scene.fills.length ? scene.fills[0].number + 1 : 0;
  return html`<section class="panel" aria-label="fills"><h2>Your fills<span>${lots(done)} of ${lots(total)}</span></h2>
    ${lines.length ? html`<div class="list"><table><thead><tr><th class="text">time</th><th class="text">side</th><th>lots</th><th>price</th><th>order</th><th>position</th><th class="text">rule</th></tr></thead><tbody>${lines}</tbody></table></div>` : html`<p class="empty">None so far.</p>`}</section>`;
}

export function Trades({ scene, instrument, onEvent }) {
  const lines = scene.trades.map((t, i) => html`<tr key=${scene.trades_n - i} class=${t.event === scene.event ? "now" : ""}><td class="text"><button class="text" title=${t.time} onClick=${() => onEvent(t.event)}>${short(t.time)}</button></td><td class=${t.side || ""}>${price(t.price, instrument)}</td><td>${lots(t.size)}</td><td class=${`text ${t.side || "quiet"}`}>${t.side ? `${t.side}er` : "–"}</td></tr>`);
  return html`<section class="panel" aria-label="trades"><h2>Trades<span>${lots(scene.trades_n)}, ${lots(scene.volume)} lots</span></h2>
    ${lines.length ? html`<div class="list"><table><thead><tr><th class="text">time</th><th>price</th><th>lots</th><th class="text">aggressor</th></tr></thead><tbody>${lines}</tbody></table></div>` : html`<p class="empty">None so far.</p>`}</section>`;
}

export function Tape({ scene, instrument }) {
  const name = (line) => `${line.is_modify ? "modify" : line.kind}${line.is_snapshot ? " (snapshot)" : ""}`;
  const first = scene.tape_n;
  const lines = scene.tape.map((line, i) => html`<tr key=${first - i} class=${line.is_now ? "now" : "past"}><td class="text">${short(line.time)}</td><td class="text">${name(line)}</td><td class=${`text ${line.side || ""}`}>${line.side || ""}</td><td>${line.size ? `${line.size > 0 && line.kind !== "trade" ? "+" : ""}${lots(line.size)}` : ""}</td><td>${line.size ? price(line.price, instrument) : ""}</td></tr>`);
  const delay = scene.delay_us === null ? "" : `received ${scene.delay_us.toLocaleString("en-US", { maximumFractionDigits: 1 })} µs later · sequence ${scene.sequence}`;
  return html`<section class="panel" aria-label="tape"><h2>Tape<span>${delay}</span></h2>
    <div class="list"><table><thead><tr><th class="text">time</th><th class="text">what</th><th class="text">side</th><th>lots</th><th>price</th></tr></thead><tbody>${lines}</tbody></table></div></section>`;
}

function feature(value) {
  if (value === null) return "–";
  if (Math.abs(value) < ZERO) return "0"; // a rate that has decayed for an hour
  if (value !== 0 && Math.abs(value) < 1e-3) return value.toExponential(3);
  // prices, such as a mid between two ticks, have more digits that mean something
  return value.toLocaleString("en-US", Math.abs(value) >= 1e3 ? { maximumFractionDigits: 4 } : { maximumSignificantDigits: 6 });
}

export function Features({ scene, names }) {
  const before = useRef([]);
  const moved = scene.features.map((value, i) => Math.abs((value || 0) - (before.current[i] || 0)) > TINY);
  before.current = scene.features;
  return html`<section class="panel" aria-label="features"><h2>Features<span>docs/ARCHITECTURE.md has the formulas</span></h2>
    <div class="features">${names.map((name, i) => html`<div key=${name} title=${words(name)} data-feature=${name}><span>${words(name)}</span><b class=${moved[i] ? "" : "still"}>${feature(scene.features[i])}</b></div>`)}</div></section>`;
}

export function Order({ order, instrument, onClose }) {
  const line = (name, value) => value !== null && value !== undefined && value !== "" && html`<tr><td class="text quiet">${name}</td><td class="text">${value}</td></tr>`;
  return html`<section class="panel" aria-label="order"><h2>Order ${order.order_id} of ${order.strategy}<button class="text" aria-label="close" onClick=${onClose}>✕</button></h2>
    <table><tbody>${line("what", `${order.side} ${order.size} at ${order.price === null ? "market" : price(order.price, instrument)}, ${[order.type, order.tif, order.post_only ? "post-only" : null].filter(Boolean).map(words).join(", ")}`)}
    ${line("sent", order.ts_sent)}${line("arrived", order.ts_arrived)}${line("triggered", order.ts_triggered)}${line("ended", order.ts_end)}${line("filled", `${order.filled} of ${order.size}`)}${line("status", words(order.status) + (order.reason ? `: ${words(order.reason)}` : ""))}
    ${line("lots ahead at entry", order.ahead_at_entry)}${line("lots ahead at the end", order.ahead_at_end)}${line("modified", order.modifies ? `${order.modifies} times: price and size as last accepted` : "")}</tbody></table></section>`;
}
