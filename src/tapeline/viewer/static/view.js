// The page of `tapeline view`: where we are, how we move, and what the panels are given. One request is under way at a time; of those that wait, the last counts.
import { h, html, render, useEffect, useLayoutEffect, useReducer, useRef } from "/preact.js";
import { drawOverview, drawRecent, scales } from "/draw.js";
import { Features, Fills, Ladder, Order, Orders, Tape, Trades, price } from "/panels.js";

const SPEEDS = [["1 event/s", { events: 1 }], ["10 events/s", { events: 10 }], ["100 events/s", { events: 100 }], ["1 ×", { time: 1 }], ["10 ×", { time: 10 }], ["60 ×", { time: 60 }], ["600 ×", { time: 600 }]];
const TICK_MS = 50;
const POLL_MS = 400;
const NOTE_MS = 300;
const KEYS = [
  ["← →", "event before, next event"], ["↑ ↓", "ten events back, on; ⇧← ⇧→ do, too"], ["PgUp PgDn", "a thousand events"], ["Home End", "first, last event"], ["Space", "play, pause"], ["+ −", "faster, slower"],
  ["n p", "your next, previous fill"], ["t r", "next, previous trade"], ["g", "go to a time, event, order, fill"], ["c", "centre the ladder"], ["d", "dark, light"], ["?", "this help"],
];

const keep = (name, value) => { try { localStorage.setItem(`tapeline-${name}`, value); } catch { /* private windows may not keep anything */ } };
const kept = (name) => { try { return localStorage.getItem(`tapeline-${name}`); } catch { return null; } };

async function ask(path, parameters = {}) {
  const answer = await fetch(`${path}?${new URLSearchParams(parameters)}`);
  const found = await answer.json().catch(() => ({ error: `the server answered ${answer.status}` }));
  if (!answer.ok) throw new Error(found.error || `the server answered ${answer.status}`);
  return found;
}

/** Everything that the page is, outside Preact: it tells `changed` when there is something new. */
class View {
  constructor(changed) {
    Object.assign(this, { changed, session: null, scene: null, overview: null, order: null, message: null, instrument: 0, speed: Number(kept("speed") ?? 1), isPlaying: false, hasEnded: false });
    this.centre = { current: null, instrument: null };
    this.busy = false;
    this.waiting = null;
  }

  get known() { return this.session && this.session.instruments[this.instrument]; }

  say(text) {
    this.message = text;
    clearTimeout(this.silence);
    this.silence = setTimeout(() => { this.message = null; this.changed(); }, 3500);
    this.changed();
  }

  /** Ask the server; while it does not answer at all, the page says so. */
  async ask(path, parameters) {
    try {
      const found = await ask(path, parameters);
      this.hasEnded = false;
      return found;
    } catch (error) {
      this.hasEnded = error instanceof TypeError;
      throw error;
    }
  }

  /** Ask for a scene. */
  async go(parameters) {
    this.waiting = parameters;
    if (this.busy) return;
    this.busy = true;
    while (this.waiting) {
      const wanted = { instrument: this.instrument, ...this.waiting };
      this.waiting = null;
      try {
        this.show(await this.ask("/api/at", wanted));
      } catch (error) {
        this.pause();
        if (!this.hasEnded) this.say(error.message);
      }
    }
    this.busy = false;
    this.target = null;
  }

  show(scene) {
    this.scene = { ...scene, delay_us: delay(scene) };
    if (scene.order) this.order = scene.order;
    if (scene.instrument !== this.instrument) this.choose(scene.instrument, false);
    clearTimeout(this.noting); // browsers refuse hundreds of changes of the address in a minute
    this.noting = setTimeout(() => history.replaceState(null, "", `#${scene.instrument}/${scene.event}`), NOTE_MS);
    this.changed();
  }

  step(n) { if (this.scene) this.event((this.target ?? this.scene.event) + n); }
  event(number) {
    if (!this.known) return;
    this.target = Math.min(Math.max(number, 1), Math.max(this.known.events, this.scene ? this.scene.events : 1));
    this.go({ event: this.target });
  }
  time(ns) { this.go({ time: ns }); }
  find(what) { if (this.scene) this.go({ find: what, event: this.scene.event, time: this.scene.now }); }
  findOrder(order) { this.go({ go: `order ${this.session.run.strategies.length > 1 ? `${order.strategy} ` : ""}${order.order_id}`, time: this.scene.now }); }

  choose(number, move = true) {
    this.instrument = number;
    this.overview = null;
    this.pause();
    this.refresh();
    if (move) this.time(this.scene ? this.scene.now : 0);
  }

  async refresh() {
    try {
      const overview = await this.ask("/api/overview", { instrument: this.instrument });
      if (overview.instrument === this.instrument) this.overview = overview;
    } catch { /* the next poll says what is wrong */ }
    this.changed();
  }

  async poll() {
    try {
      this.session = await this.ask("/api/session");
      document.title = `${this.session.title} · Tapeline`;
      if (this.session.instruments.length && !this.scene) this.start();
      if (this.session.instruments.length) await this.refresh();
      this.changed();
    } catch (error) { if (!this.hasEnded) this.say(error.message); else this.changed(); }
    if (!this.session || !this.session.progress.is_finished) setTimeout(() => this.poll(), POLL_MS);
  }

  start() {
    const [, instrument, event] = location.hash.match(/^#(\d+)\/(\d+)$/) || [];
    if (instrument !== undefined && Number(instrument) < this.session.instruments.length) this.instrument = Number(instrument);
    this.event(Number(event ?? 1));
  }

  play() {
    if (this.isPlaying || !this.scene) return;
    this.isPlaying = true;
    this.owed = 0;
    this.last = performance.now();
    this.timer = setInterval(() => this.tick(), TICK_MS);
    this.changed();
  }
  pause() {
    clearInterval(this.timer);
    this.isPlaying = false;
    this.changed();
  }
  toggle() { if (this.isPlaying) this.pause(); else this.play(); }

  tick() {
    if (this.busy) return;
    const now = performance.now(), passed = now - this.last, [, speed] = SPEEDS[this.speed];
    if (this.scene.event >= this.scene.events && this.session.progress.is_finished) { this.pause(); return; }
    if (speed.time) {
      this.time((BigInt(this.scene.now) + BigInt(Math.round(passed * speed.time * 1e6))).toString());
    } else {
      this.owed += (passed / 1000) * speed.events;
      const whole = Math.floor(this.owed);
      if (whole) this.event(this.scene.event + whole);
      this.owed -= whole;
    }
    this.last = now;
  }

  setSpeed(number) {
    this.speed = Math.min(Math.max(number, 0), SPEEDS.length - 1);
    keep("speed", this.speed);
    this.changed();
  }
}

/** How much later the event was received, µs. */
function delay(scene) {
  if (!scene.ts_recv || !scene.ts_event) return null;
  const ns = (time) => [Date.parse(`${time.slice(0, 10)}T${time.slice(11, 19)}Z`), Number(time.slice(20))];
  const [a, b] = [ns(scene.ts_event), ns(scene.ts_recv)];
  return (b[0] - a[0]) * 1e3 + (b[1] - a[1]) / 1e3;
}

const theme = () => document.documentElement.dataset.theme;
function setTheme(name) { document.documentElement.dataset.theme = name; }
function flipTheme(view) {
  setTheme(theme() === "dark" ? "light" : "dark");
  keep("theme", theme());
  view.changed();
}

function colors() {
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(["text", "quiet", "line", "strong", "buy", "sell", "own"].map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

function Overview({ view }) {
  const canvas = useRef(null);
  const { overview, scene, known } = view;
  const draw = () => {
    const at = scene && overview ? Number(BigInt(scene.now) - BigInt(overview.start)) / 1e6 : null;
    if (canvas.current && known) drawOverview(canvas.current, overview, at, colors(), known);
  };
  useLayoutEffect(draw);
  useEffect(() => {
    const watch = new ResizeObserver(() => view.changed());
    watch.observe(canvas.current);
    return () => watch.disconnect();
  }, []);
  const to = (event) => {
    const box = canvas.current.getBoundingClientRect(), s = scales(view.overview, box.width, box.height);
    if (s) view.time((BigInt(view.overview.start) + BigInt(Math.round(s.ms(event.clientX - box.left) * 1e6))).toString());
  };
  const down = (event) => { canvas.current.setPointerCapture(event.pointerId); view.pause(); to(event); };
  const move = (event) => { if (canvas.current.hasPointerCapture(event.pointerId)) to(event); };
  const text = scene && scene.time ? scene.time : "";
  return html`<section class="panel overview"><canvas ref=${canvas} tabindex="0" role="slider" aria-label="time" aria-valuetext=${text} aria-valuemin="1" aria-valuemax=${known ? known.events : 1} aria-valuenow=${scene ? scene.event : 1}
    onPointerDown=${down} onPointerMove=${move}></canvas></section>`;
}

function Recent({ scene, known }) {
  const canvas = useRef(null);
  useLayoutEffect(() => { drawRecent(canvas.current, scene, colors(), known); });
  return html`<section class="panel" aria-label="recent"><h2>Last moments<span>best prices, trades${scene.own.length ? ", your orders" : ""}</span></h2><canvas class="recent" ref=${canvas}></canvas></section>`;
}

const ICONS = {
  first: "M2 2h2.5v12H2zM14 2v12L5 8z", last: "M11.500 2H14v12h-2.500zM2 2v12l9-6z", play: "M3 1.500v13L14 8z", pause: "M3 2h3.500v12H3zM9.500 2H13v12H9.500z",
  back: "M11 2v12L4 8z", on: "M5 2v12l7-6z", theme: "M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1zm0 1.600v10.800a5.400 5.400 0 0 1 0-10.800z",
};
const icon = (name) => html`<svg viewBox="0 0 16 16" aria-hidden="true"><path d=${ICONS[name]} /></svg>`;

function Transport({ view, open }) {
  const button = (label, text, act, more = "") => html`<button class=${more} aria-label=${label} title=${label} onClick=${act}>${text}</button>`;
  const own = view.session && Object.values(view.session.run.fills).some((n) => n > 0);
  return html`<nav class="transport" aria-label="transport">
    ${button("first event", icon("first"), () => view.event(1))}${button("back ten events", "−10", () => view.step(-10))}${button("event before", icon("back"), () => view.step(-1))}
    ${button(view.isPlaying ? "pause" : "play", icon(view.isPlaying ? "pause" : "play"), () => view.toggle(), "main")}
    ${button("next event", icon("on"), () => view.step(1))}${button("on ten events", "+10", () => view.step(10))}${button("last event", icon("last"), () => view.event(Infinity))}
    <select aria-label="speed" value=${view.speed} onChange=${(event) => view.setSpeed(Number(event.target.value))}>${SPEEDS.map(([name], i) => html`<option value=${i}>${name}</option>`)}</select>
    ${button("previous trade", "‹ trade", () => view.find("previous_trade"))}${button("next trade", "trade ›", () => view.find("next_trade"))}
    ${own && button("your previous fill", "‹ fill", () => view.find("previous_fill"))}${own && button("your next fill", "fill ›", () => view.find("next_fill"))}
    ${button("go to", "Go to…", () => open("go"))}</nav>`;
}

function Header({ view, open }) {
  const { session, scene, known } = view;
  const [bid, ask] = scene ? [scene.bids[0], scene.asks[0]] : [];
  const size = (best) => `${best ? best[1] : 0} ${best && best[1] === 1 ? "lot" : "lots"}`;
  return html`<header class="bar"><div class="name" title=${session.title}><strong>Tapeline</strong>${session.title}</div>
    ${session.instruments.length > 1 ? html`<select aria-label="instrument" value=${view.instrument} onChange=${(event) => view.choose(Number(event.target.value))}>${session.instruments.map((i) => html`<option value=${i.index}>${i.symbol}</option>`)}</select>` : html`<b>${known ? known.symbol : ""}</b>`}
    ${scene && html`<div class="touch" aria-label="best prices"><span><b class="buy">${bid ? price(bid[0] * known.grid, known) : "–"}</b> <small>${size(bid)}</small></span><span><b class="sell">${ask ? price(ask[0] * known.grid, known) : "–"}</b> <small>${size(ask)}</small></span></div>
    <div class="clock" aria-label="clock"><span class="date">${scene.time ? scene.time.slice(0, 10) : ""} UTC ${scene.phase && html`<span class=${`phase ${scene.phase}`} aria-label="phase" title="phase of trading, by the status file">${scene.phase}</span>`}</span><b>${scene.time ? scene.time.slice(11, 19) : "–"}</b><span>${scene.time ? scene.time.slice(19) : ""}</span></div>
    <div class="number">event <b>${scene.event.toLocaleString("en-US")}</b> of ${Math.max(known.events, scene.events).toLocaleString("en-US")}</div>`}
    <div class="buttons"><button aria-label="dark or light" title="dark or light" onClick=${() => flipTheme(view)}>${icon("theme")}</button> <button aria-label="help" title="keys" onClick=${() => open("help")}>?</button></div></header>`;
}

function GoTo({ view, dialog }) {
  const input = useRef(null);
  const submit = (event) => {
    event.preventDefault();
    dialog.current.close();
    view.pause();
    view.go({ go: input.current.value, time: view.scene ? view.scene.now : 0 });
  };
  return html`<dialog ref=${dialog} aria-label="go to"><form onSubmit=${submit}><h2>Go to</h2><input ref=${input} name="place" autocomplete="off" spellcheck="false" placeholder="14:30:05.25" />
    <p>A time (UTC; with a date in front if need be), <b>#1200</b> for an event, <b>order 17</b>, <b>fill 3</b>${view.session.run.strategies.length > 1 ? html`, <b>order ${view.session.run.strategies[0]} 17</b>` : ""}.</p>
    <div class="row"><button type="button" onClick=${() => dialog.current.close()}>Cancel</button><button class="main" type="submit">Go</button></div></form></dialog>`;
}

function Help({ dialog }) {
  return html`<dialog ref=${dialog} aria-label="keys"><h2>Keys</h2><table><tbody>${KEYS.map(([keys, text]) => html`<tr><td>${keys.split(" ").map((key) => html`<kbd>${key}</kbd> `)}</td><td>${text}</td></tr>`)}</tbody></table>
    <p>Drag along the overview to move through time. In the ladder a violet line in a bar is your place in that queue: what lies between it and the prices is in front of you. Green, red and yellow cells are what this event added, took away and filled.</p>
    <div class="row"><button class="main" onClick=${() => dialog.current.close()}>Close</button></div></dialog>`;
}

function keyed(view, open, event) {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]") || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
  const big = event.shiftKey ? 10 : 1;
  const acts = {
    ArrowLeft: () => view.step(-big), ArrowRight: () => view.step(big), ArrowUp: () => view.step(-10), ArrowDown: () => view.step(10), PageUp: () => view.step(-1000), PageDown: () => view.step(1000), Home: () => view.event(1), End: () => view.event(Infinity),
    " ": () => view.toggle(), n: () => view.find("next_fill"), p: () => view.find("previous_fill"), t: () => view.find("next_trade"), r: () => view.find("previous_trade"), g: () => open("go"), "?": () => open("help"),
    c: () => { view.centre.current = null; view.changed(); }, d: () => flipTheme(view), "+": () => view.setSpeed(view.speed + 1), "=": () => view.setSpeed(view.speed + 1), "-": () => view.setSpeed(view.speed - 1),
  };
  const act = acts[event.key] || acts[event.key.toLowerCase()];
  if (!act) return;
  event.preventDefault();
  if (!/^[ +\-=cdDgG?]$/.test(event.key)) view.pause();
  act();
}

function App() {
  const [, again] = useReducer((n) => n + 1, 0);
  const holder = useRef(null), help = useRef(null), go = useRef(null);
  holder.current ||= new View(() => again());
  const view = holder.current;
  const open = (name) => {
    const dialog = { help, go }[name].current;
    dialog.showModal();
    const input = dialog.querySelector("input");
    if (input) input.select();
  };
  useEffect(() => {
    window.tapeline = view; // for whoever drives the page from outside
    view.poll();
    const listener = (event) => keyed(view, open, event);
    addEventListener("keydown", listener);
    addEventListener("resize", again); // how many rows the ladder has
    return () => { removeEventListener("keydown", listener); removeEventListener("resize", again); };
  }, []);
  const { session, scene, known } = view;
  if (!session) return html`<p class="page">${view.message || "…"}</p>`;
  const { progress } = session, rows = matchMedia("(max-width: 760px)").matches ? 21 : Math.min(Math.max(2 * Math.floor((innerHeight - 330) / 44) + 1, 21), 61);
  const shared = { scene, instrument: known, hasRun: session.run.strategies.length > 0, several: session.run.strategies.length > 1, onOrder: (order) => view.findOrder(order) };
  return html`<div class="page"><${Header} view=${view} open=${open} />
    ${view.hasEnded && html`<div class="note" role="alert">The viewer has ended, and what is shown stays as it is: start <b>tapeline view</b> again.</div>`}
    ${progress.problem && html`<div class="note" role="alert">Read up to here only: ${progress.problem}</div>`}
    ${!progress.is_finished && html`<div aria-label="indexing"><div class="quiet">Reading the data … ${progress.tape_events.toLocaleString("en-US")} tape events so far; what has been read can be looked at.</div><div class="progress"><div style=${{ width: `${progress.share * 100}%` }}></div></div></div>`}
    <${Overview} view=${view} /><${Transport} view=${view} open=${open} />
    ${scene && known ? html`<main class="columns"><${Ladder} ...${shared} rows=${rows} kept=${view.centre} />
      <div class="stack"><${Recent} scene=${scene} known=${known} />${view.order && html`<${Order} order=${view.order} instrument=${known} onClose=${() => { view.order = null; again(); }} />`}${shared.hasRun && html`<${Orders} ...${shared} /><${Fills} ...${shared} total=${session.run.fills[view.instrument] || 0} onTime=${(ns) => view.time(ns)} />`}<${Trades} ...${shared} onEvent=${(n) => view.event(n)} /></div>
      <div class="stack"><${Tape} ...${shared} /><${Features} scene=${scene} names=${session.features} /></div></main>` : html`<p class="empty">${progress.is_finished ? "There is nothing in this data." : "Compiling, the first time; then reading …"}</p>`}
    ${view.message && html`<div class="toast" role="status">${view.message}</div>`}<${Help} dialog=${help} /><${GoTo} view=${view} dialog=${go} /></div>`;
}

setTheme(kept("theme") || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"));
render(h(App), document.getElementById("app"));
