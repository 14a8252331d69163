"""The report's words and tables: headline figures, what to be careful about, the data's health, assumptions in force."""

import html
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import polars as pl

from tapeline.config import UNLIMITED
from tapeline.instruments import decimals
from tapeline.manifest import differing, parameters_of
from tapeline.observed import is_missing
from tapeline.report.base import Run
from tapeline.report.signals import names_of
from tapeline.report.sweep import Sweep
from tapeline.result import Result
from tapeline.stats.metrics import METRICS
from tapeline.stats.orders import outcomes
from tapeline.tables import format_metric, format_seconds, given, is_numbered, lines_html, listed, to_lines, upright_html
from tapeline.window import Window

HEADLINES: Final = (
    ("pnl_net", "net PnL"),
    ("pnl_gross", "gross PnL"),
    ("fees", "fees"),
    ("drawdown_max", "largest drawdown"),
    ("sharpe", "Sharpe, annualised"),
    ("sharpe_probability", "probability of Sharpe > 0"),
    ("lots", "lots"),
    ("pnl_per_lot", "net PnL per lot"),
    ("maker_share", "maker share"),
    ("markout_1s", "markout at 1 s, per lot"),
    ("fill_ratio_orders", "orders filled"),
    ("order_to_trade", "order-to-trade"),
)
FEW_FILLS: Final = 200
FIFO_MIN: Final = 0.8
"""Below it, it is doubtful that the venue matches by price and time, or that the data is whole. ES has 0.945, auctions included."""
STOPS_MAX: Final = 5
LARGE_SHARE_MAX: Final = 0.2
LARGEST: Final = 15
COLUMNS_MAX: Final = 8
"""Runs whose metrics stand side by side."""
PAGES_MAX: Final = 12
"""Runs that have pages of their own beside the comparison: each takes half a second and a megabyte."""
GAP_S: Final = 60
_RULES: Final = {
    "queue": "exact: an order joins behind all displayed size at its price, and moves up only as that leaves; none: it joins in front; others guess the place",
    "trade_through": "an execution at a worse price than ours fills us first",
    "crossing": "an opposite order that comes to rest at or through our price fills us",
    "auction": "an auction's print fills all our orders that are priced better",
    "iceberg_excess": "what an execution takes beyond the displayed size had passed us",
    "impact": "consume: what we took is gone for us while it would have rested",
    "self_match": "when own orders meet",
    "on_gap": "after a gap in the data, what rested is behind all displayed size, or cancelled",
}
_GROUPS: Final = {
    "latency": "one way; feed is added to each record's ts_recv",
    "fees": "paid per lot, or in basis points of the notional (bps); negative: a rebate",
    "limits": "orders beyond are refused",
}
_TABLES: Final = {"messages_in_flight_max", "notices_in_flight_max", "takes_max", "journal_rows_max", "ladder_levels_max", "instruments_max"}


def table(head: Sequence[str], lines: Iterable[Sequence[str]], text: Sequence[int] = (0,), prose: Sequence[int] = ()) -> str:
    """An HTML table; the columns at `text` are words, those at `prose` sentences, which may be broken, the others numbers."""
    kinds = [' class="prose"' if i in prose else ' class="text"' if i in text else "" for i in range(len(head))]
    top = "".join(f"<th{kind}>{html.escape(cell)}</th>" for kind, cell in zip(kinds, head, strict=True))
    body = "".join("<tr>" + "".join(f"<td{kind}>{html.escape(cell)}</td>" for kind, cell in zip(kinds, line, strict=True)) + "</tr>" for line in lines)
    return f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def headline(run: Run) -> str:
    """A card per headline figure: the totals, the only strategy, or the best of alternatives; a row of cards per currency."""
    parts = [f"<p>{html.escape(_told_of(run))}</p>"] if run.is_several else []
    for line in to_lines(run.compared):
        cards = []
        for name, label in HEADLINES:
            value, unit = line[name], METRICS[name].unit
            tone = "" if name not in ("pnl_net", "pnl_gross", "pnl_per_lot", "markout_1s", "sharpe") or not value else " gain" if value > 0 else " loss"
            money = f" <small>{html.escape(line['currency'])}</small>" if unit == "money" and line["currency"] else ""
            text = html.escape(format_metric(METRICS[name], value))
            tip = html.escape(METRICS[name].meaning)
            cards.append(
                f'<div class="card" title="{tip}"><b class="{tone.strip()}" data-metric="{name}">{text}</b>{money}<span>{html.escape(label)}</span></div>'
            )
        parts.append(f'<div class="cards" data-currency="{html.escape(line["currency"])}">{"".join(cards)}</div>')
    return "".join(parts)


def _told_of(run: Run) -> str:
    """What headline figures of several strategies are of, and which strategy is the best."""
    if run.is_sweep:
        names = listed([run.name_of(line) for line in run.compared.to_dicts()])
        return f"The best by net PnL of {run.strategies_n:,} strategies, {names}. They are alternatives, whose sum nobody would trade."
    best = run.shown.row(0, named=True)
    net = run.of(run.stats.frame.filter(pl.col("row").is_not_null()), best)["pnl_net"][0]
    told = f" Best by net PnL: {run.name_of(best)}, {net:,.2f}." if run.shown["currency"].n_unique() == 1 else ""
    return f"The {run.strategies_n} strategies together.{told}"


def _rows_of(rows: Sequence[dict[str, Any]]) -> str:
    """The rows of a class: the names that they were given, what they have alike, and what they differ in; of a sweep all its parameters are a page of text."""
    names = differing(rows)
    alike = given({name: value for name, value in parameters_of(rows[0]).items() if name not in names})
    called = f"{rows[0]['strategy']}({alike})" + (f", which differ in {', '.join(names)}" if names else "")
    labels = [row["label"] for row in rows]
    if all(is_numbered(row["label"], row["row"]) for row in rows):
        return f"{len(rows):,} of {called}"
    return called if labels == [rows[0]["strategy"]] else f"{listed(labels, 4)}: {called}"


def described(run: Run) -> tuple[str, str]:
    """What was run; on what, and over what time."""
    manifest, sampling = run.result.manifest, run.sampling
    names = [_rows_of(rows) for rows in run.classes.values()]
    files = ", ".join(file["path"].rsplit("/", 1)[-1] for file in manifest.get("data", []))
    times = pl.Series([sampling.start_ns, sampling.end_ns]).cast(pl.Datetime("ns")).dt.strftime("%Y-%m-%d %H:%M:%S").to_list() if sampling.days else []
    span = f"{times[0]} – {times[1]} UTC ({format_seconds((sampling.end_ns - sampling.start_ns) / 1e9)})" if times else ""
    window = Window.from_manifest(manifest)
    counts = f"{manifest['records']:,} records, {manifest['events']:,} events" if manifest.get("records") else ""
    return listed(names, 4, "; "), " · ".join(p for p in (files, str(window) and f"window {window}", span, counts) if p)


def subtitle(run: Run) -> str:
    """The same under a heading."""
    return "".join(f"<p>{html.escape(part)}</p>" for part in described(run) if part)


def cautions(run: Run) -> list[str]:
    """What a reader should know before believing the numbers."""
    result, found = run.result, []
    if result.manifest.get("interrupted"):
        found.append("The run was interrupted: the result is of all before.")
    if result.manifest.get("error"):
        found.append(f"The run was stopped by an error; the result is of all before: {result.manifest['error']}")
    for stop in result.stops.head(STOPS_MAX).with_columns(pl.col("ts").dt.strftime("%Y-%m-%d %H:%M:%S")).to_dicts():
        reason = str(stop["reason"]).replace("_", " ")
        found.append(f"{stop['strategy']} was stopped at {stop['ts']} UTC, {reason}: its net PnL was {stop['net']:,.2f}, the limit {stop['limit']:,.2f}.")
    totals = run.stats.totals()
    fills = result.fills.height
    if not fills:
        sent = result.orders.height
        found.append(f"There was no fill: {f'{sent:,} orders were sent' if sent else 'no order was sent'}, and no number of trading means anything.")
    if 0 < fills < FEW_FILLS:
        found.append(f"{fills} fills are few: most averages on this page have wide errors.")
    large = max((line["large_share"] or 0.0 for line in totals), default=0.0)
    if large > LARGE_SHARE_MAX:
        bold = "that history would not have reacted is a bold assumption there"
        found.append(f"{large:.0%} of the lots were filled with more than half of what they traded against: {bold}.")
    if any((line["sharpe_probability"] or 1.0) < 0.95 and line["pnl_net"] > 0 for line in totals):
        found.append("The net PnL is positive, but the probability that the true Sharpe ratio exceeds 0 is below 95 %.")
    return found + _caution_of_many(run.stats.frame) + _cautions_of_data(result)


def _caution_of_many(frame: pl.DataFrame) -> list[str]:
    """That the best of many may be luck. They are counted as its Deflated Sharpe counts them, those of its currency."""
    known = frame.drop_nulls("sharpe_deflated").sort("sharpe_deflated", descending=True, maintain_order=True)
    if not known.height or not (frame["pnl_net"] > 0).any():
        return []
    best = known.row(0, named=True)
    tried, probability = known.filter(pl.col("currency") == best["currency"]).height, best["sharpe_deflated"]
    return [f"No strategy's Deflated Sharpe reaches 95 %: with {tried} tried, the best may be luck (it has {probability:.0%})."] if probability < 0.95 else []


def _cautions_of_data(result: Result) -> list[str]:
    """What to know about the data."""
    found = []
    if result.observed.missing:
        found.append(f"{'Markouts are incomplete' if result.observed.mids is not None else 'No markouts'}: {result.observed.missing}.")
    hits, first = result.observed.fifo or (0, 0)
    if first < FIFO_MIN * hits:
        doubt = "the venue may match in another way, such as pro rata, or records may be missing: exact places in queues mean little then"
        found.append(f"Only {first / hits:.0%} of {hits:,} executions in the data hit the order at the front of its queue: {doubt}.")
    return found


def cautions_html(run: Run) -> str:
    """The same as a list."""
    found = cautions(run)
    return '<ul class="care">' + "".join(f"<li>{html.escape(text)}</li>" for text in found) + "</ul>" if found else ""


def large_fills(run: Run) -> str:
    """The fills that were largest against what they traded with."""
    fills = run.frames.fills.filter("is_large")
    if not fills.height:
        return "<p>No fill was more than half of what it traded against.</p>"
    share = fills.with_columns(share=pl.col("size") / pl.col("market_size")).sort("size", "share", descending=True, maintain_order=True).head(LARGEST)
    digits = {symbol: decimals(contract.tick) for symbol, contract in run.result.contracts.items()}
    columns = {
        "time (UTC)": share["ts_event"].dt.strftime("%m-%d %H:%M:%S%.6f" if run.sampling.days > 1 else "%H:%M:%S%.6f"),
        "strategy": share["strategy"],
        "symbol": share["symbol"],
        "side": share["side"].cast(pl.String),
        "price": [f"{price:,.{digits[symbol]}f}" for price, symbol in share.select("price", "symbol").iter_rows()],
        "lots": [f"{size:,}" for size in share["size"]],
        "traded against": [f"{size:,}" for size in share["market_size"]],
        "rule": share["rule"].cast(pl.String).str.replace_all("_", " "),
    }
    for name in ("strategy", "symbol"):
        if run.frames.fills[name].n_unique() == 1:
            del columns[name]
    intro = f"<p>{fills.height:,} fills, {int(fills['size'].sum()) / int(run.frames.fills['size'].sum()):.1%} of the lots; the largest:</p>"
    words = [i for i, values in enumerate(columns.values()) if isinstance(values, pl.Series)]
    return intro + table(list(columns), zip(*columns.values(), strict=True), text=words)


def sweep(swept: Sweep) -> str:
    """How to read the figures of a sweep, and what is not in them."""
    if len(swept.parameters) == 2:
        parts = ["Colours are net PnL; they end where a tenth of the rows won or lost more."]
    else:
        parts = ["Points are rows, the line is the mean of rows with one value, the ring is around the best row."]
    parts += ["A lone peak is likelier luck than a broad hill."]
    parts += [f"{len(swept.drawn):,} of {len(swept.net):,} rows are points, drawn by lot."] if len(swept.drawn) < len(swept.net) and swept.grid is None else []
    parts += [f"Not drawn: {listed(swept.left_out)}."] if swept.left_out else []
    return " ".join(parts)


def signals(run: Run, drawn: Sequence[str]) -> str:
    """How to read the figure of signals, and what is not in it."""
    everything = run.result.signals
    if not drawn:
        return "The strategies that figures show recorded no number that can be drawn; result.signals has all."
    parts = ["As recorded, each value until the next; where there are many, their range in each pixel's time, pale, and their mean over longer times."]
    others = [name for name in names_of(everything) if name not in drawn]
    parts += [f"Not drawn: {listed(others)}; result.signals has all."] if others else []
    lost = everything.filter(~pl.col("value").is_finite()).height
    parts += [f"{lost:,} values are no finite numbers, and left out."] if lost else []
    return " ".join(parts)


def outcomes_table(run: Run) -> str:
    """How orders ended and why, over all strategies."""
    counts = outcomes(run.frames.orders, ["currency"]).group_by("status", "reason").agg(pl.col("orders").sum()).sort("orders", descending=True)
    if not counts.height:
        return ""
    whole = int(counts["orders"].sum())
    lines = [[str(s).replace("_", " "), (r or "").replace("_", " "), f"{n:,}", f"{n / whole:.1%}"] for s, r, n in counts.iter_rows()]
    return table(["outcome", "reason", "orders", "share"], lines, text=(0, 1))


def health(run: Run) -> str:
    """What was odd about the data, where nothing came for long, and when the book was crossed."""
    from tapeline.check import odd_counters  # noqa: PLC0415 - reads with Numba

    counters = run.result.counters
    odd = odd_counters(counters)
    parts = []
    if counters.get("events"):
        crossed = counters.get("crossed_events", 0)
        passive, unknown = counters.get("tape_FILL", 0), counters.get("fills_unknown", 0)
        text = f"{counters.get('records', 0):,} records in {counters['events']:,} events"
        left = f"{crossed:,} events ({crossed / counters['events']:.2%}) left a book locked or crossed"
        parts.append(f"<p>{text}; {left}. {passive:,} executions of resting orders, {unknown:,} of orders that are not in the book.</p>")
    hits, first = run.result.observed.fifo or (0, 0)
    if hits:
        text = f"{first:,} of the first {hits:,} executions of resting orders hit the front of their queue; auctions, mostly, do not go by it."
        parts.append(f"<p>FIFO consistency {first / hits:.3f}: {text}</p>")
    parts.append(table(["anomaly", "records"], [[name.replace("_", " "), f"{n:,}"] for name, n in odd.items()]) if odd else "<p>No anomaly was counted.</p>")
    gaps = long_gaps(run.bars)
    if gaps.height:
        lines = [[line["symbol"], line["from"], line["to"], format_seconds(line["seconds"])] for line in gaps.head(10).to_dicts()]
        parts.append(f"<p>{gaps.height:,} times of {GAP_S} s and more without an event in a traded instrument; the longest:</p>")
        parts.append(table(["symbol", "from (UTC)", "to", "length"], lines, text=(0, 1, 2)))
    elif run.bars.height:
        parts.append(f"<p>No time of {GAP_S} s or more without an event in a traded instrument.</p>")
    problem = is_missing(run.result.manifest)
    if problem:
        parts.append(f"<p>{html.escape(problem[0].upper() + problem[1:])}.</p>")
    return "".join(parts)


def long_gaps(bars: pl.DataFrame) -> pl.DataFrame:
    """Times between bars of at least GAP_S: symbol, from, to (text), seconds; longest first."""
    following = pl.col("ts").shift(-1).over("symbol")
    gaps = bars.with_columns(to=following, seconds=(following - pl.col("ts")).dt.total_nanoseconds() / 1e9).filter(pl.col("seconds") >= GAP_S)
    text = "%Y-%m-%d %H:%M:%S"
    return gaps.sort("seconds", descending=True).select("symbol", pl.col("ts").dt.strftime(text).alias("from"), pl.col("to").dt.strftime(text), "seconds")


def assumptions(run: Run) -> str:
    """Fill rules, latencies, fees and limits of each distinct set of strategies."""
    groups: dict[str, list[str]] = {}
    for strategy in run.result.manifest.get("strategies", []):
        if "venue" in strategy:
            groups.setdefault(json.dumps(strategy["venue"]), []).append(strategy["label"])
    parts = ["<p>History did not know our orders, and does not react to them; docs/assumptions.md has a paragraph for each rule.</p>"]
    for text, labels in groups.items():
        parts.append(f"<h4>{html.escape(listed(labels))}</h4>" if len(groups) > 1 else "")
        parts.append(table(["setting", "value", "what it means"], _settings(json.loads(text)), prose=(1, 2)))
    return "".join(parts)


def _settings(venue: Mapping[str, Any]) -> Iterable[tuple[str, str, str]]:
    """Each fill rule; latencies, fees and the limits that refuse orders in a line each, fees by instrument in one for each. Table sizes are no assumptions."""
    for name, value in (venue.get("rules") or {}).items():
        yield name.replace("_", " "), "on" if value is True else "off" if value is False else str(value).replace("_", " "), _RULES.get(name, "")
    for group, whose, values in _groups(venue):
        if group != "rules" and isinstance(values, dict):
            said = {name: value for name, value in values.items() if name not in _TABLES and value not in (None, UNLIMITED, "inf")}
            if "messages_max" not in said:  # then it has no period, and nothing is in excess
                said = {name: value for name, value in said.items() if not name.startswith("messages_")}
            text = ", ".join(f"{name.replace('_', ' ')} {_setting(group, value)}" for name, value in said.items())
            yield f"{group} {whose}".strip(), text or "none", _GROUPS.get(group, "")


def _groups(venue: Mapping[str, Any]) -> Iterable[tuple[str, str, Any]]:
    """Each setting with whose it is: nobody's in particular, or, of fees by instrument, that of instruments which pay alike."""
    for group, values in venue.items():
        if group != "fees" or not all(isinstance(value, dict) for value in values.values()):
            yield group, "", values
            continue
        alike: dict[str, list[str]] = {}
        for name, value in values.items():
            alike.setdefault(json.dumps(value), []).append(name)
        yield from ((group, listed(names), values[names[0]]) for names in alike.values())


def _setting(group: str, value: Any) -> str:
    """A setting as people read it."""
    if group == "latency" and isinstance(value, int) and not isinstance(value, bool):
        return format_seconds(value / 1e9)
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def days_table(run: Run) -> str:
    """A line per day and strategy, of those that figures show."""
    shown = run.stats.by_day.join(run.shown.select("row", "currency"), on=["row", "currency"], how="semi", maintain_order="left")
    names = ("pnl_net", "pnl_gross", "fees", "drawdown_max", "fills", "lots", "turnover", "maker_share", "trades", "win_rate", "position_end")
    lines = [[str(line["day"]), line["strategy"], *(format_metric(METRICS[name], line[name]) for name in names)] for line in to_lines(shown)]
    return table([f"day ({run.sampling.calendar.day_start})", "strategy", *(name.replace("_", " ") for name in names)], lines, text=(0, 1))


def comparison(runs: Sequence[Run]) -> str:
    """A column per run with every metric of what stands for it; of more than a page has room for, a line per run with the first of them."""
    lines = [(_compared_as(run, line), line) for run in runs for line in to_lines(run.compared)]
    if len(lines) > COLUMNS_MAX:
        return lines_html(["run"], [([title], line) for title, line in lines], METRICS)
    return upright_html(lines, METRICS)


def _compared_as(run: Run, line: Mapping[str, Any]) -> str:
    """What a line of a run is called beside those of other runs."""
    return f"{run.name}: {run.name_of(dict(line))}" if run.is_sweep else f"{run.name} {line['currency']}".strip()


def how_compared(runs: Sequence[Run]) -> str:
    """What stands for a run of alternatives, and where the pages of many runs are."""
    swept = [run for run in runs if run.is_sweep]
    of = f" ({listed([run.name for run in swept])})" if len(swept) < len(runs) else ""
    parts = [
        "Where strategies of a run are alternatives, of one class and on the same instrument",
        of,
        ", the best by net PnL stands for it, and not their sum, which nobody would trade. ",
    ]
    parts = [*parts, "The best of many is likelier luck than one that stood alone: its sharpe_deflated counts how many were tried."] if swept else []
    more = f"Up to {PAGES_MAX} runs have a page each behind this one; of more, tapeline report RUN makes one of each." if len(runs) > PAGES_MAX else ""
    return "".join(f"<p>{html.escape(text)}</p>" for text in ("".join(parts), more) if text)


def compared_runs(runs: Sequence[Run]) -> str:
    """What each run was, and on what; of many, to be opened."""
    told = table(["run", "strategies", "data and time"], [[run.name, *described(run)] for run in runs], prose=(1, 2))
    return told if len(runs) <= COLUMNS_MAX else f"<details><summary>What each run was, and on what</summary>{told}</details>"


def manifest(run: Run) -> str:
    """Everything that is needed to run it again. What rows of a sweep have in common, their venue, is said of the first."""
    said: dict[str, str] = {}
    rows = []
    for row in run.result.manifest.get("strategies", []):
        first = said.setdefault(json.dumps(row.get("venue")), row["label"])
        rows.append(row if first == row["label"] else {**row, "venue": f"as of {first}"})
    text = json.dumps({**run.result.manifest, "strategies": rows}, indent=2, ensure_ascii=False)
    return f"<details><summary>Versions, inputs with their hashes, settings</summary><pre>{html.escape(text, quote=False)}</pre></details>"
