// Draws each figure as it comes near the view, so that the page opens at once; recolours them when the theme changes.
(() => {
  "use strict";
  const root = document.documentElement;
  const config = { ...JSON.parse(document.getElementById("config").textContent), displayModeBar: matchMedia("(hover: none)").matches ? false : "hover" };
  const PAPER = 680; // pixels of a figure in print: A4 and Letter have room for it

  const stored = () => { try { return localStorage.getItem("tapeline-theme"); } catch { return null; } };
  const isDark = () => root.dataset.theme === "dark";
  const colors = () => (isDark()
    ? { text: "#adb5bd", panel: "#151b23", line: "#3a424c" }
    : { text: "#4b5560", panel: "#ffffff", line: "#c8ced6" });
  const themed = ({ font, hoverlabel }) => {
    const c = colors(), label = { ...hoverlabel, bgcolor: c.panel, bordercolor: c.line, font: { ...hoverlabel.font, color: c.text } };
    return { font: { ...font, color: c.text }, hoverlabel: label, modebar: { color: c.text, bgcolor: c.panel } };
  };
  const drawn = () => [...document.querySelectorAll(".figure[data-drawn]")].filter((figure) => figure.data);

  // On a telephone: smaller text, words and times that lie flat, and no room lost at the sides.
  function fitted(layout) {
    if (innerWidth > 600) return layout;
    layout.font.size = 10;
    Object.assign(layout.margin, { l: 30, r: 4 });
    const { type, tickvals } = layout.xaxis ?? {};
    const fewer = type === "category" && tickvals && { tickvals: tickvals.filter((_, i) => tickvals.length < 8 || i % 2 === 0) };
    layout.xaxis = { ...layout.xaxis, tickangle: 0, ...(type === "date" && { nticks: 5 }), ...fewer };
    return layout;
  }

  function draw(figure) {
    if (figure.dataset.drawn) return Promise.resolve();
    figure.dataset.drawn = "1";
    const source = figure.querySelector("script");
    const made = JSON.parse(source.textContent);
    source.remove();
    return Plotly.newPlot(figure, made.data, { ...fitted(made.layout), ...themed(made.layout) }, config).then(() => roomForLegend(figure));
  }

  // On a telephone names stand one below the other: what they take beyond two lines, the figure gets.
  function roomForLegend(figure) {
    const more = (figure.querySelector(".legend .bg")?.getBoundingClientRect().height ?? 0) - 40;
    if (innerWidth > 600 || more <= 0) return null;
    const height = figure.layout.height + more;
    figure.style.height = `${height}px`;
    return Plotly.relayout(figure, { height });
  }

  function setTheme(theme, keep) {
    root.dataset.theme = theme;
    if (keep) { try { localStorage.setItem("tapeline-theme", theme); } catch { /* a page from a file may not be allowed to */ } }
    drawn().forEach((figure) => Plotly.relayout(figure, themed(figure.layout)));
  }

  function select(tab) {
    document.querySelectorAll("main").forEach((main) => { main.hidden = main.dataset.tab !== tab; });
    document.querySelectorAll("[role=tab]").forEach((button) => button.setAttribute("aria-selected", String(button.dataset.tab === tab)));
    document.querySelectorAll(`main[data-tab="${tab}"] .figure[data-drawn]`).forEach((figure) => figure.data && Plotly.Plots.resize(figure));
  }

  // A click on a heading sorts a table by its column, the largest first, words by their letters; another turns it round. Totals stay at the foot.
  const SCALES = { ns: 1e-9, "µs": 1e-6, ms: 1e-3, s: 1 };
  function worth(text) {
    if (/^\d+(:\d\d)+$/.test(text)) return text.split(":").reduce((sum, part) => 60 * sum + Number(part), 0);
    const [, number, unit] = /^([-+]?[\d,.]+(?:e[-+]?\d+)?) ?(%|ns|µs|ms|s)?$/.exec(text) ?? [];
    return number === undefined ? text : Number(number.replaceAll(",", "")) * (SCALES[unit] ?? 1);
  }
  function sortBy(heading) {
    const table = heading.closest("table"), known = (text) => text !== "–" && text !== "";
    const lines = [...table.tBodies[0].rows].map((row) => ({ row, text: row.cells[heading.cellIndex].textContent }));
    const isNumber = lines.every(({ text }) => !known(text) || typeof worth(text) === "number");
    const falls = heading.ariaSort === "none" ? isNumber : heading.ariaSort === "ascending";
    const order = (a, b) => (isNumber ? worth(a) - worth(b) : a.localeCompare(b, "en", { numeric: true })) * (falls ? -1 : 1);
    lines.sort((a, b) => known(b.text) - known(a.text) || (known(a.text) ? order(a.text, b.text) : 0)); // what is not known is last either way
    [...table.tHead.rows[0].cells].forEach((cell) => { cell.ariaSort = cell !== heading ? "none" : falls ? "descending" : "ascending"; });
    table.tBodies[0].append(...lines.map(({ row }) => row));
  }
  document.querySelectorAll("table").forEach((table) => {
    if (!table.tHead || table.tBodies[0].rows.length < 2 || table.querySelector("tr.section, td.prose")) return;
    [...table.tHead.rows[0].cells].forEach((heading) => {
      Object.assign(heading, { ariaSort: "none", tabIndex: 0, title: "sort" });
      heading.addEventListener("click", () => sortBy(heading));
      heading.addEventListener("keydown", (event) => { if (event.key === "Enter") sortBy(heading); });
    });
  });

  const system = matchMedia("(prefers-color-scheme: dark)");
  setTheme(stored() || (system.matches ? "dark" : "light"), false);
  system.addEventListener("change", (event) => { if (!stored()) setTheme(event.matches ? "dark" : "light", false); });
  document.getElementById("theme").addEventListener("click", () => setTheme(isDark() ? "light" : "dark", true));
  document.querySelectorAll("[role=tab]").forEach((button) => button.addEventListener("click", () => select(button.dataset.tab)));
  select("0");

  const seen = new IntersectionObserver((entries) => entries.forEach((entry) => {
    if (entry.isIntersecting) { seen.unobserve(entry.target); draw(entry.target); }
  }), { rootMargin: "600px" });
  document.querySelectorAll(".figure").forEach((figure) => seen.observe(figure));
  // All at once: for printing, and for whoever wants to look at everything.
  window.drawAll = () => Promise.all([...document.querySelectorAll("main:not([hidden]) .figure")].map(draw));
  // Paper is white, and narrower than a screen.
  let before = null;
  addEventListener("beforeprint", () => {
    before = root.dataset.theme;
    window.drawAll();
    setTheme("light", false);
    drawn().forEach((figure) => Plotly.relayout(figure, { width: PAPER }));
  });
  addEventListener("afterprint", () => {
    setTheme(before, false);
    drawn().forEach((figure) => Plotly.relayout(figure, { width: null, autosize: true }));
  });
})();
