"""The page as a file: self-contained, small, complete, and no place for what strangers write."""

import html
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from journals import Journal, instrument, row
from typer.testing import CliRunner

import tapeline as tl
from tapeline.cli import app
from tapeline.config import Fees, Latency, Venue
from tapeline.constants import Side, Status
from tapeline.delays import Delay
from tapeline.errors import ConfigError
from tapeline.manifest import plain
from tapeline.observed import BARS_SCHEMA, Observed
from tapeline.report import words, write_report
from tapeline.report.base import Run
from tapeline.report.market import grouped_fills, inventory_figure, mean_over_time, own_quotes
from tapeline.report.money import compared_equity, split_figure
from tapeline.report.placed import lifetime_figure
from tapeline.report.sections import compared, sections
from tapeline.result import Result
from tapeline.stats.markouts import MIDS

SECTIONS = (
    *("Equity and drawdown", "Where the PnL came from", "Markouts", "Price, own quotes and fills, position", "Inventory", "Queue", "Latency", "Lifetime"),
    *(
        "What became of orders",
        "Fills that were large against the market",
        "The book",
        "The data's health",
        "Assumptions in force",
        "Statistics",
        "Manifest",
    ),
)


def test_the_page_is_whole_and_alone(result: Result, tmp_path: Path) -> None:
    """One file below 8 MB with every section; it fetches nothing; its statistics are those of the result."""
    text = result.report(tmp_path / "deep" / "report.html").read_text(encoding="utf-8")
    assert len(text.encode()) < 8_000_000
    for title in SECTIONS:
        assert f"<h2>{title.replace(chr(39), '&#x27;')}</h2>" in text
    ours = re.sub(r"<script>/\*\*.*?</script>", "", text.split("<script>")[0], flags=re.DOTALL)
    assert not re.findall(r'(?:src|href)="(?!data:)', ours)
    stats = re.search(r'<script type="application/json" id="stats">(.*?)</script>', text, re.DOTALL)
    assert stats is not None
    said = json.loads(stats[1])["2 strategies"]
    whole = json.loads(json.dumps(result.stats.to_dict()))
    assert said.keys() == whole.keys()
    assert said["notes"] == whole["notes"]
    for part in whole.keys() - {"notes"}:
        assert [dict(zip(said[part], line, strict=True)) for line in zip(*said[part].values(), strict=True)] == whole[part]


def test_what_rows_share_is_said_once(result: Result) -> None:
    """The manifest on the page is the run's; rows with one venue, as those of a sweep have, refer to the first, and have parameters of their own."""
    manifest = result.manifest
    first, second = manifest["strategies"]
    sweep = [{**first, "label": f"Row#{i}", "parameters": {"size": i}} for i in range(1_000)]
    text = words.manifest(Run("sweep", replace(result, manifest={**manifest, "strategies": [*sweep, second]})))
    assert len(text) < 500_000
    shown = json.loads(html.unescape(re.search(r"<pre>(.*)</pre>", text, re.DOTALL)[1]))
    assert [row["parameters"]["size"] for row in shown["strategies"][:-1]] == list(range(1_000))
    assert shown["strategies"][0] == sweep[0]
    assert {row["venue"] for row in shown["strategies"][1:-1]} == {"as of Row#0"}
    expected = second if second["venue"] != first["venue"] else {**second, "venue": "as of Row#0"}
    assert shown == {**manifest, "strategies": [*shown["strategies"][:-1], expected]}


def test_fifo_consistency_is_told_and_kept(result: Result, tmp_path: Path) -> None:
    """The page has the share of executions that hit the front of their queue, of a loaded result, too; where it is low, the reader is warned."""
    hits, first = result.observed.fifo
    assert hits == first > 100
    loaded = Result.load(result.save(tmp_path / "run"))
    assert loaded.observed.fifo == (hits, first)
    text = f"FIFO consistency 1.000: {first:,} of the first {hits:,}"
    assert text in words.health(Run("kept", loaded))
    assert not [caution for caution in words.cautions(Run("kept", loaded)) if "front of its queue" in caution]
    doubtful = replace(loaded, kept=loaded.observed._replace(fifo=(1_000, 500)))
    assert [caution for caution in words.cautions(Run("pro rata", doubtful)) if "Only 50%" in caution]


def test_several_runs_are_compared(result: Result, tmp_path: Path) -> None:
    """`tapeline report RUN RUN` makes a page with a comparison and a part for each run, and says where it is; one run is not named twice."""
    places = [result.save(tmp_path / "runs" / name) for name in ("one", "two")]
    done = CliRunner().invoke(app, ["report", *map(str, places), "-o", str(tmp_path / "both.html"), "--json"])
    assert done.exit_code == 0, done.stderr
    written = json.loads(done.stdout)
    text = Path(written["report"]).read_text(encoding="utf-8")
    assert written["bytes"] == len(text.encode())
    assert [re.search(rf'data-tab="{i}">(.*?)</button>', text)[1] for i in range(3)] == ["Comparison", "one", "two"]
    assert "2 runs compared" in text
    assert CliRunner().invoke(app, ["report", str(places[0]), str(places[0]), "-o", str(tmp_path / "x.html")]).exit_code == 2


def test_names_are_text(tmp_path: Path) -> None:
    """Labels, symbols, titles and names of files with markup in them are shown as they are, and end no element."""
    evil = "</script><script>alert(1)</script>"
    journal = Journal([instrument(symbol=evil)], [row(evil)])
    journal.fill(1, 1, 100)
    journal.order(1, 1, 1)
    journal.sample(2, 202)
    journal.sample(200, 204)
    text = write_report(tmp_path / "r.html", {evil: journal.result(note=evil, data=[{"path": evil}])}).read_text(encoding="utf-8")
    assert "<script>alert(1)" not in text


def test_poor_results_have_a_page(tmp_path: Path) -> None:
    """Runs without orders, fills, samples or data make a page that says what is missing, and never NaN."""
    nothing = Journal(instruments=[], rows=[]).result()
    quiet = Journal()
    quiet.sample(1, 100)
    open_order = Journal()
    open_order.order(1, 1, 0, Status.OPEN)
    open_order.sample(0, 100)
    open_order.sample(100, 100)
    for i, journal in enumerate((nothing, quiet.result(), open_order.result())):
        text = journal.report(tmp_path / f"{i}.html").read_text(encoding="utf-8")
        assert "The book cannot be shown" in text
        assert not re.search(r">\s*(nan|None)\s*<", text)
        assert text.count("There was no fill") == (4 if i < 2 else 2)  # at the top, in place of positions, and of gains, where these would be known
        assert ("No order was sent." in text) == (i < 2)


def test_figures_show_the_best_of_each_currency() -> None:
    """No currency takes the room of another, what is left out is said, and an axis of several currencies is named after none of them."""
    journal = Journal([instrument(0, "A", currency="USD"), instrument(1, "B", currency="EUR")], [row(f"m{i}") for i in range(4)])
    for i in range(4):
        for place in (0, 1):
            journal.fill(1, 1, 100, row=i, place=place)
            journal.sample(2, 200 + (2 + 98 * place) * i, row=i, place=place)
    run = Run("two", journal.result())
    parts = {part.title: part for part in sections(run)}
    equity = parts["Equity and drawdown"]
    assert "Figures show the 3 best of 4 strategies by net PnL in each of 2 currencies." in equity.words
    traces = [trace.name for trace in equity.figures[0][1].data if trace.showlegend is not False]
    assert traces == [f"m{i} {currency}" for currency in ("EUR", "USD") for i in (3, 2, 1)]
    assert [one.layout.yaxis.title.text for one in (equity.figures[0][1], split_figure(run))] == ["net equity, currency", "currency"]


def test_of_many_strategies_it_is_said_which_are_shown() -> None:
    """Headlines of a sweep are its best row's, of other classes their sum, and say so.

    Figures name the best with their parameters, and hide the sum of all; the table has everybody's parameters.
    """
    journal = Journal(rows=[row()._replace(parameters={"size": 1, "depth": 10 * i}) for i in range(9)])
    for i in range(9):
        journal.fill(1, 1, 100, row=i)
        journal.sample(2, 200 + i, row=i)
        journal.sample(200, 200 + 2 * i, row=i)
    run = Run("sweep", journal.result())
    assert "The best by net PnL of 9 strategies, Maker#8 (depth=80)." in words.headline(run)
    assert re.findall(r'data-metric="pnl_net">([^<]+)<', words.headline(run)) == ["100.00"]
    journal.rows = [given._replace(strategy=f"Class{i}") for i, given in enumerate(journal.rows)]
    assert "The 9 strategies together. Best by net PnL: Maker#8, 100.00." in words.headline(Run("mixed", journal.result()))
    parts = {part.title: part for part in sections(run)}
    assert "the 6 best of 9 strategies" in parts["Equity and drawdown"].words
    traces = [trace for trace in parts["Equity and drawdown"].figures[0][1].data if trace.showlegend is not False]
    assert [trace.name for trace in traces] == [*(f"Maker#{i} (depth={10 * i})" for i in range(8, 2, -1)), "total"]
    assert [trace.visible for trace in traces] == [None] * 6 + ["legendonly"]
    legend = [trace.name for trace in parts["Price, own quotes and fills, position"].figures[0][1].data if trace.showlegend is not False]
    assert legend == [trace.name for trace in traces[:-1]]
    table = parts["Statistics"].words
    assert "9 strategies by net PnL; stats.frame has all" in table
    assert all(f">depth={10 * i}</td>" in table for i in range(9))
    assert "size=1" not in table


def test_rows_are_called_what_they_were_called() -> None:
    """Legends do not repeat the parameters of rows with a name of their own; under the heading stands what the rows of a class have alike, and where not."""
    values = [{"size": 1, "depth": 10, "side": side} for side in (65, 66)]
    journal = Journal(rows=[row(name)._replace(parameters=given) for name, given in zip(("asks", "bids"), values, strict=True)])
    for i in range(2):
        journal.sample(1, 200, row=i)
    run = Run("named", journal.result())
    assert [run.name_of(line) for line in run.shown.sort("row").to_dicts()] == ["asks", "bids"]
    assert words.described(run)[0] == "asks, bids: Maker(size=1, depth=10), which differ in side"
    rows = [row(f"Maker#{i}")._replace(parameters=given) for i, given in enumerate(values)]
    sweep = Run("sweep", Journal(rows=[*rows, row("alone")._replace(strategy="Other")]).result())
    assert words.described(sweep)[0] == "2 of Maker(size=1, depth=10), which differ in side; alone: Other(size=1)"
    assert words.described(Run("one", Journal(rows=[row()]).result()))[0] == "Maker(size=1)"


def test_the_first_split_that_is_drawn_is_shown() -> None:
    """Where the best strategy has traded nothing, while the others lost, the next one's split of its PnL is what one sees at first."""
    journal = Journal(rows=[row("idle"), row("worse"), row("worst")])
    journal.sample(1, 200)
    for i in (1, 2):
        journal.fill(1, 1, 100, row=i, order_id=1)
        journal.sample(2, 200 - 10 * i, row=i)
    mids = pl.DataFrame({name: [25.0, 25.0] for name in MIDS})
    result = replace(journal.result(), kept=Observed(mids, pl.DataFrame(schema=BARS_SCHEMA)))
    assert [(trace.name, trace.visible) for trace in split_figure(Run("run", result)).data] == [("worse", True), ("worst", "legendonly")]


def test_a_run_that_ends_before_its_markouts_has_a_page() -> None:
    """Where the mids before the fills are known, and none so long after them as the split of the PnL asks for, the page says so in its place."""
    journal = Journal()
    journal.fill(1, 1, 100, order_id=1)
    journal.sample(2, 200)
    mids = pl.DataFrame({name: [25.0 if name == "mid_before" else None] for name in MIDS}, dict.fromkeys(MIDS, pl.Float64))
    run = Run("short", replace(journal.result(), kept=Observed(mids, pl.DataFrame(schema=BARS_SCHEMA))))
    part = next(part for part in sections(run) if part.title == "Where the PnL came from")
    assert "No fill has mids before it and 1s after it." in part.words


def test_runs_without_a_common_time_start_together() -> None:
    """Equity of runs at one time is drawn over the time, in UTC; of runs on different days over hours since each one's start; what each run was is told."""
    first, later, other = Journal(), Journal(), Journal()
    for journal, start in ((first, 0), (later, 1_800), (other, 90_000)):
        journal.sample(start, 100)
        journal.sample(start + 3_600, 100)
    runs = [Run(name, journal.result()) for name, journal in (("first", first), ("later", later), ("other", other))]
    together, apart = compared_equity(runs[:2], "currency"), compared_equity(runs, "currency")
    assert (together.layout.xaxis.type, together.layout.xaxis.title.text) == ("date", "UTC")
    assert apart.layout.xaxis.type == "linear"
    assert "hours" in apart.layout.xaxis.title.text
    assert [[trace.x[0], trace.x[-1]] for trace in apart.data if trace.showlegend is not False] == [[0, 1]] * 3
    assert all(f">{run.name}</td>" in words.compared_runs(runs) for run in runs)


def test_a_run_has_one_colour_in_all_comparisons(result: Result) -> None:
    """A run without fills has no markouts, and those after it the colours that their equity has; money is in the runs' currency, where that is one."""
    empty = Journal([instrument()])
    empty.sample(1, 100)
    contracts = {name: one._replace(currency="USD") for name, one in result.contracts.items()}
    dollars = replace(result, contracts=contracts, kept=result.observed)
    runs = [Run("none", empty.result()), Run("some", dollars), Run("again", dollars)]
    equity, markouts = (part.figures[0][1] for part in compared(runs)[1:3])
    colors = [{trace.name: trace.line.color for trace in one.data if trace.showlegend is not False} for one in (equity, markouts)]
    assert set(colors[0]) == {"none", "some", "again"}
    assert colors[1] == {name: colors[0][name] for name in ("some", "again")}
    assert (equity.layout.yaxis.title.text, markouts.layout.yaxis.title.text) == ("net equity, USD", "USD per lot")


def test_settings_that_mean_nothing_are_left_out() -> None:
    """The assumptions name no limit that is infinite, nor the period of a rate without limit; every fill rule has its meaning."""
    text = words.assumptions(Run("plain", Journal().result()))
    assert "inf" not in text
    assert "messages" not in text
    assert "orders live max 64" in text
    assert '<td class="prose"></td>' not in text


def test_fees_by_instrument_are_told_of_each() -> None:
    """A line per set of fees, with the instruments that pay it; fees of all have no names, and delays, which are tables too, stay in one line."""
    alike, other = Fees(maker=0.2, taker=1.2), Fees(taker=0.5, unit="bps")
    latency = Latency(entry=Delay.gamma(mean="1us", shape=2))
    for fees, lines in (
        (
            {"ESH4": alike, "CLH4": other, "NQH4": alike},
            {"fees ESH4, NQH4": "maker 0.2, taker 1.2, unit contract", "fees CLH4": "maker 0.0, taker 0.5, unit bps"},
        ),
        (alike, {"fees": "maker 0.2, taker 1.2, unit contract"}),
    ):
        venue = plain(Venue(fees=fees, latency=latency))
        text = words.assumptions(Run("fees", Journal().result(strategies=[{"label": "A", "strategy": "A", "parameters": {}, "row": 0, "venue": venue}])))
        assert dict(re.findall(r'<td class="text">(fees.*?)</td><td class="prose">(.*?)</td>', text)) == lines
        assert text.count('<td class="text">latency</td>') == 1


def test_prices_of_large_fills_have_the_digits_of_the_tick() -> None:
    """A fill at 25.5 on a grid of 0.25 is shown as 25.50, as one at 25.25 is; where a run has several days, times have their day."""
    journal = Journal()
    journal.fill(1, 1, 102, market_size=1)
    journal.fill(100_000, 1, 101, market_size=1)
    journal.sample(1, 102)
    journal.sample(100_001, 102)
    text = words.large_fills(Run("large", journal.result()))
    assert ">25.50</td>" in text
    assert ">25.25</td>" in text
    assert ">11-14 22:13:20.999999</td>" in text


def test_instruments_have_colours_of_their_own(result: Result) -> None:
    """Bars of one strategy's positions in two instruments are told apart by colour; orders that end as they arrive are drawn at 0."""
    journal = Journal(instruments=[instrument(), instrument(1, "NQH4")])
    for place in (0, 1):
        journal.fill(1, 1, 100, place=place)
        journal.sample(1, 100, place=place)
        journal.sample(100, 100, place=place)
    bars = inventory_figure(Run("two", journal.result())).data
    assert [bar.name for bar in bars] == ["Maker ESH4", "Maker NQH4"]
    assert len({bar.marker.color for bar in bars}) == 2
    assert lifetime_figure(Run("taker", result)).layout.xaxis.ticktext[0] == "0"


def test_of_many_instruments_those_with_most_fills_are_drawn() -> None:
    """Four of six stocks have bars, and the page says which; that a share's multiplier is 1 is no caution, for it was given."""
    journal = Journal(instruments=[instrument(place, f"STOCK{place}", multiplier=1.0, currency="") for place in range(6)])
    for place in range(6):
        for k in range(place + 1):
            journal.fill(2 * k + 1, 1, 100, place=place)
        journal.sample(100, 100, place=place)
    many = Run("many", journal.result())
    assert {bar.name for bar in inventory_figure(many).data} == {f"Maker STOCK{place}" for place in range(2, 6)}
    inventory = next(section for section in sections(many) if section.title == "Inventory")
    assert "The 4 of 6 instruments with most fills." in inventory.words
    assert not any("multiplier" in caution for caution in words.cautions(many))


def test_trials_are_those_of_a_currency() -> None:
    """The caution about the best of many counts three strategies that trade in two currencies as three, as their Deflated Sharpe does."""
    journal = Journal([instrument(0, "A", currency="USD"), instrument(1, "B", currency="EUR")], [row(f"r{n}") for n in range(3)])
    for r in range(3):
        for place in range(2):
            journal.fill(1, 1, 100, row=r, place=place)
            for minute, mark in enumerate((200, 203 + r, 198, 202, 201 + place)):
                journal.sample(60 * minute + 2, mark, row=r, place=place)
    assert [caution for caution in words.cautions(Run("two currencies", journal.result())) if "with 3 tried" in caution]


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    """A report is not written over a directory."""
    with pytest.raises(ConfigError, match="directory"):
        Journal().result().report(tmp_path)


def test_own_quotes_are_the_best_live_ones() -> None:
    """At each time the best price of own resting orders of the side, whichever came last; nothing where none rests."""
    journal = Journal()
    second = 10**9
    base = 1_700_000_000 * second
    for n, (tick, start, end) in enumerate(((100, 1, 5), (101, 2, 3), (99, 7, -1))):
        ends = base + end * second if end > 0 else -1
        journal.order(n + 1, price=tick * 250_000_000, ts_arrived=base + start * second, ts_end=ends, side=Side.BID, status=Status.OPEN)
    journal.sample(10, 100)
    times, prices = own_quotes(journal.result().orders, "buy", (base, base + 10 * second), points=10)
    expected = [np.nan, 25.0, 25.25, 25.0, 25.0, np.nan, np.nan, 24.75, 24.75, 24.75, 24.75]
    assert ((times * 1e6 - base) / second).round().tolist() == list(range(11))
    assert np.array_equal(prices, expected, equal_nan=True)


def test_groups_keep_lots_and_value(result: Result) -> None:
    """Grouped fills are about as many as asked for, and keep the sums of lots and of lots × price."""
    fills = result.fills
    groups = grouped_fills(fills, 50)
    assert groups.height <= 51 < fills.height
    assert (groups["lots"].sum(), groups["fills"].sum()) == (fills["size"].sum(), fills.height)
    assert (groups["lots"] * groups["price"]).sum() == pytest.approx((fills["size"] * fills["price"]).sum())
    assert grouped_fills(fills, fills.height)["price"].to_list() == fills["price"].to_list()


def test_mean_over_time_is_the_area() -> None:
    """Means of a step function times their length add up to its area, each stretch by itself."""
    times = np.array([0, 10, 30, 100])
    edges, means = mean_over_time(times, np.array([1.0, 4.0, 0.0, 9.0]), 10)
    assert edges.tolist() == list(range(0, 100, 10))
    assert means.tolist() == pytest.approx([1, 4, 4, *[0] * 7])


def test_frames_and_results_show_in_notebooks(result: Result) -> None:
    """A result and its statistics have HTML of their own, with every metric's value as in the terminal and what it means."""
    html = result.stats._repr_html_()
    assert "<table" in html
    assert "Probabilistic Sharpe" in html
    assert html in result._repr_html_()
    many = Journal(rows=[row(f"r{i}") for i in range(9)])
    for i in range(9):
        many.sample(1, 100, row=i)
    assert "r8" in many.result().stats._repr_html_()
    assert isinstance(result.stats.frame, pl.DataFrame)


def test_own_orders_and_fills_are_on_the_heat_map(result: Result) -> None:
    """Own resting orders lie on the map from arrival to end at their price, cut to its time, and own fills where they were."""
    path = result.manifest["data"][0]["path"]
    start, end = (result.fills["ts_event"][i].replace(microsecond=0) for i in (5, -5))
    figure = tl.heatmap(path, start, end, tick_size="0.25").figure(result)
    traces = {trace.name: trace for trace in figure.data}
    for side in ("buy", "sell"):
        own = traces[f"own {side} orders"]
        x, y = own.x.reshape(-1, 3), own.y.reshape(-1, 3)
        assert (x[:, 0] <= x[:, 1]).all()
        assert x[:, :2].min() >= start.timestamp() * 1e3
        assert x[:, :2].max() <= end.timestamp() * 1e3
        prices = result.orders.filter((pl.col("side") == side) & pl.col("ahead_at_entry").is_not_null())["price"]
        assert set(y[:, 0].tolist()) <= set(prices.to_list())
        assert len(x) > 100
        assert len(traces[f"own {side}s"].x) > 100


def test_orders_that_lie_over_each_other_are_one_line(result: Result) -> None:
    """A line covers what the orders at its price cover together, and another begins where none of them rests: many rows that do the same take no more."""
    path = result.manifest["data"][0]["path"]
    start, end = (result.fills["ts_event"][i].replace(microsecond=0) for i in (5, -5))
    heat = tl.heatmap(path, start, end, tick_size="0.25")
    late = result.orders.with_columns(pl.col("ts_arrived", "ts_end") + pl.duration(nanoseconds=700_000_000))
    orders = pl.concat([result.orders, late])
    figure = heat.figure(replace(result, orders=pl.concat([orders] * 3, rechunk=True)))
    first, last = (times.to_physical()[i] for times, i in ((heat.times, 0), (heat.quotes["ts"], -1)))
    resting = orders.filter(pl.col("ahead_at_entry").is_not_null())
    for side in ("buy", "sell"):
        expected: dict[float, list[list[int]]] = {}
        of_side = resting.filter(pl.col("side") == side).sort("ts_arrived")
        for price, arrived, ended in of_side.select("price", pl.col("ts_arrived", "ts_end").to_physical()).iter_rows():
            a, b = max(arrived, first), min(last if ended is None else ended, last)
            lines = expected.setdefault(price, [])
            if arrived < last and b > first and lines and a <= lines[-1][1]:
                lines[-1][1] = max(lines[-1][1], b)
            elif arrived < last and b > first:
                lines.append([a, b])
        own = next(trace for trace in figure.data if trace.name == f"own {side} orders")
        drawn: dict[float, list[list[float]]] = {}
        for (a, b, _), (price, *_) in zip(own.x.reshape(-1, 3).tolist(), own.y.reshape(-1, 3).tolist(), strict=True):
            drawn.setdefault(price, []).append([a, b])
        assert drawn == {price: [[a / 1e6, b / 1e6] for a, b in lines] for price, lines in expected.items() if lines}
        assert sum(map(len, drawn.values())) < of_side.height
