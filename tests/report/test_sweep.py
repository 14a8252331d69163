"""Figures of a sweep: what is drawn over which parameters, and what is not."""

from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl
import pytest
from journals import Journal, instrument, row

from tapeline.report import words, write_report
from tapeline.report.base import Run
from tapeline.report.money import compared_equity
from tapeline.report.sections import Section, sections
from tapeline.report.sweep import PANELS_MAX, POINTS_MAX, sweep_figures, sweeps
from tapeline.result import Result

SIDES = ((66, "BID", False), (66, "BID", True), (65, "ASK", False), (65, "ASK", True))


def swept(parameters: list[dict[str, Any]], gains: list[int], **instruments: str) -> Result:
    """Rows of one class with these parameters, that win so many half ticks (6.25) in each of the instruments; a currency for each symbol, or one in USD."""
    places = [instrument(i, symbol, currency=currency) for i, (symbol, currency) in enumerate((instruments or {"ESH4": "USD"}).items())]
    journal = Journal(places, [row(f"m{i}")._replace(parameters=values) for i, values in enumerate(parameters)])
    for i, gain in enumerate(gains):
        for place in range(len(places)):
            journal.fill(1, 1, 100, row=i, place=place)
            journal.sample(200, 200 + gain * (place + 1), row=i, place=place)
    return journal.result()


def parts(result: Result) -> list[Section]:
    """The sections about parameters on a result's page."""
    return [part for part in sections(Run("sweep", result)) if part.title.startswith("Net PnL over")]


def net_of(result: Result, currency: str = "USD") -> list[float]:
    """By row, what the statistics say."""
    return result.stats.frame.filter(pl.col("row").is_not_null() & (pl.col("currency") == currency)).sort("row")["pnl_net"].to_list()


def trace(figure: go.Figure, name: str) -> Any:
    """A trace of a figure."""
    return next(one for one in figure.data if one.name == name)


def test_one_parameter_is_a_line_through_points() -> None:
    """A point per row at its parameter and its net PnL; the line is the mean of rows with one value; the ring is at the best row."""
    result = swept([{"size": 1, "depth": depth} for depth in (4, 2, 2, 9)], [3, 1, 5, 4])
    (part,) = parts(result)
    ((_, figure),) = part.figures
    assert (part.title, figure.layout.xaxis.title.text, figure.layout.yaxis.title.text) == ("Net PnL over depth", "depth", "net PnL, USD")
    net = net_of(result)
    assert net == [18.75, 6.25, 31.25, 25.0]
    assert list(zip(trace(figure, "rows").x, trace(figure, "rows").y, strict=True)) == list(zip([4, 2, 2, 9], net, strict=True))
    line = trace(figure, "mean")
    assert (list(line.x), list(line.y)) == ([2, 4, 9], [(net[1] + net[2]) / 2, net[0], net[3]])
    assert (*trace(figure, "best").x, *trace(figure, "best").y) == (2, net[2])
    assert "m2<br>depth=2" in trace(figure, "rows").text


def test_two_parameters_are_a_map() -> None:
    """Rows on a grid are cells, each the mean of its rows, empty where none is; elsewhere they are points with the colour of their net PnL."""
    pairs = [(1, 0.5), (1, 0.1), (2, 0.1), (2, 0.1), (10, 0.5), (10, 0.1)]
    result = swept([{"size": size, "edge": edge} for size, edge in pairs], [5, -3, 2, 4, 1, 9])
    net = net_of(result)
    ((_, figure),) = parts(result)[0].figures
    (cells,) = figure.data
    assert (list(cells.x), list(cells.y)) == (["1", "2", "10"], ["0.1", "0.5"])
    expected = [[net[1], (net[2] + net[3]) / 2, net[5]], [net[0], np.nan, net[4]]]
    assert np.array_equal(np.asarray(cells.z, float), expected, equal_nan=True)
    assert cells.zmin == -cells.zmax  # zero has the colour of neither gain nor loss
    apart = swept([{"size": 2**i, "edge": i / 10} for i in range(9)], list(range(9)))
    ((_, plane),) = parts(apart)[0].figures
    points = trace(plane, "rows")
    assert (list(points.x), list(points.y)) == ([2**i for i in range(9)], [i / 10 for i in range(9)])
    assert list(points.marker.color) == net_of(apart)
    assert (plane.layout.xaxis.type, plane.layout.yaxis.type) == ("log", "linear")


def test_labels_tell_values_apart() -> None:
    """Values of a map's axes are as short as they can be without two of them becoming one."""
    for values, labels in (
        ((1e9, 2.5e9), ["1B", "2.5B"]),
        ((1234567, 1234568), ["1.234567M", "1.234568M"]),
        ((0.1, 0.100000000001), ["0.1", "0.100000000001"]),
    ):
        result = swept([{"a": a, "b": b} for a in values for b in (1, 2)], [1, 2, 3, 4])
        assert list(parts(result)[0].figures[0][1].data[0].x) == labels


def test_more_parameters_have_a_panel_each() -> None:
    """Three parameters are three figures beside each other, whose points are all rows."""
    result = swept([{"a": a, "b": b, "c": c} for a in (1, 2) for b in (1, 2) for c in (0.5, 1.5)], list(range(8)))
    (part,) = parts(result)
    assert part.is_panels
    assert [figure.layout.xaxis.title.text for _, figure in part.figures] == ["a", "b", "c"]
    net = net_of(result)
    for _, figure in part.figures:
        assert list(trace(figure, "rows").y) == net
    assert list(trace(part.figures[0][1], "mean").y) == [np.mean(net[:4]), np.mean(net[4:])]


def test_nothing_is_drawn_where_nothing_varies() -> None:
    """One row, rows with the same parameters, and rows that differ in words alone have no such section."""
    for parameters in ([{"size": 1}], [{"size": 1}] * 3, [{"size": "inf"}, {"size": "nan"}]):
        assert parts(swept(parameters, [1] * len(parameters))) == []


def test_currencies_are_apart() -> None:
    """Rows that trade in two currencies have a figure for each, with the net PnL in it; nothing is added up."""
    result = swept([{"size": size} for size in (1, 2, 3)], [1, 5, 2], ESH4="USD", FESX="EUR")
    found = {part.title: part.figures[0][1] for part in parts(result)}
    assert set(found) == {"Net PnL over size: USD", "Net PnL over size: EUR"}
    for currency in ("USD", "EUR"):
        figure = found[f"Net PnL over size: {currency}"]
        assert figure.layout.yaxis.title.text == f"net PnL, {currency}"
        assert list(trace(figure, "rows").y) == net_of(result, currency)
    assert net_of(result, "USD") != net_of(result, "EUR")


def test_classes_are_apart() -> None:
    """Each class whose rows differ has a figure of its own; a parameter of the same name in another class is another one."""
    rows = [("Maker", 1), ("Maker", 2), ("Taker", 5), ("Taker", 7), ("Other", 3), ("Other", 3)]
    journal = Journal(rows=[row(f"m{i}")._replace(parameters={"size": size}, strategy=strategy) for i, (strategy, size) in enumerate(rows)])
    for i in range(len(rows)):
        journal.sample(1, 100, row=i)
    found = {part.title: list(trace(part.figures[0][1], "rows").x) for part in parts(journal.result())}
    assert found == {"Net PnL over size: Maker": [1, 2], "Net PnL over size: Taker": [5, 7]}


def test_values_that_are_no_amounts_are_called_by_their_names() -> None:
    """Members of enumerations, and flags, are words on axes, on maps, under the mouse and in the page's first line."""
    runs = []
    for sides in (SIDES, SIDES[::2]):
        journal = Journal(rows=[row("m")._replace(parameters={"side": side, "on": on}, words={"side": word}) for side, word, on in sides])
        for i in range(len(sides)):
            journal.fill(1, 1, 100, row=i)
            journal.sample(2, 100 + 2 * i, row=i)
        runs.append(Run("sweep", journal.result()))
    whole, half = runs
    (cells,) = sweep_figures(sweeps(whole)[0])[0].data
    assert (list(cells.x), list(cells.y)) == (["ASK", "BID"], ["False", "True"])
    assert whole.varied[0] == "side=BID, on=False"
    assert "Maker(on=False)" in words.described(half)[0]
    (figure,) = sweep_figures(sweeps(half)[0])
    assert (list(figure.layout.xaxis.tickvals), list(figure.layout.xaxis.ticktext)) == ([65, 66], ["ASK", "BID"])


def test_what_is_not_drawn_is_said() -> None:
    """Parameters beyond the panels, and those that are no numbers, are named; flags are drawn."""
    names = [f"p{i}" for i in range(PANELS_MAX)]
    result = swept([{"off": "inf" if i else 1.0, "flag": bool(i), **dict.fromkeys(names, i)} for i in (0, 1)], [1, 2])
    (part,) = parts(result)
    assert [figure.layout.xaxis.title.text for _, figure in part.figures] == ["flag", *names[:-1]]
    assert f"Not drawn: off, {names[-1]}." in part.words


def test_a_large_sweep_is_a_small_page() -> None:
    """Of three thousand rows a thousand are points, the best among them; means are of all; it is said, and the figures stay below a megabyte."""
    n = 3 * POINTS_MAX
    rng = np.random.default_rng(4)
    parameters = [{"a": i % 7, **{f"parameter_{k}": float(rng.random()) for k in range(7)}} for i in range(n)]
    result = swept(parameters, list(range(n - 1, -1, -1)))
    (sweep,) = sweeps(Run("sweep", result))
    figures = sweep_figures(sweep)
    assert [len(trace(figure, "rows").x) for figure in figures] in ([POINTS_MAX] * PANELS_MAX, [POINTS_MAX + 1] * PANELS_MAX)
    assert max(trace(figures[0], "rows").y) == max(net_of(result))
    net = np.array(net_of(result))
    assert list(trace(figures[0], "mean").y) == pytest.approx([net[a::7].mean() for a in range(7)])
    assert sum(len(figure.to_json()) for figure in figures) < 1_000_000
    assert f"of {n:,} rows are points" in words.sweep(sweep)


def test_figures_go_through_the_lines_of_what_they_show() -> None:
    """Of many rows, figures of single strategies are made of the lines of those shown, all of them and no others; of few rows, of all lines."""
    many, few = (Run("run", swept([{"size": i} for i in range(n)], list(range(n)))) for n in (40, 3))
    rows = set(many.shown["row"])
    assert len(rows) < 40
    for name in ("fills", "orders", "equity", "spans"):
        whole, part = getattr(many.frames, name), getattr(many.drawn, name)
        assert part.equals(whole.filter(pl.col("row").is_in(list(rows))))
    assert few.drawn is few.frames


@pytest.mark.parametrize("runs_n", [2, 20])
def test_the_best_of_alternatives_is_compared(tmp_path: Path, runs_n: int) -> None:
    """Beside other runs a sweep is what its best row is, in tables and curves, and says so; strategies of different classes are compared by their total.

    Of many runs, each has a line instead of a column, and none has a page of its own.
    """
    sweep = swept([{"size": 1}, {"size": 2}, {"size": 3}], [4, 40, -200])
    other = swept([{"size": 1}], [8])
    runs = [Run("sweep", sweep), *(Run(f"other{i}", other) for i in range(runs_n - 1))]
    best = max(net_of(sweep))
    assert runs[0].compared["pnl_net"].to_list() == [best]
    assert runs[0].is_sweep
    assert not runs[1].is_sweep
    equity = compared_equity(runs, "USD").data[0]
    assert equity.name == "sweep"
    assert equity.y[-1] == best
    table = words.comparison(runs)
    assert "sweep: " in table
    assert "m1" in table
    assert f"{best:,.2f}" in table
    assert (table.count("<tr>") > 40) == (runs_n == 2)
    assert "(sweep), the best by net PnL" in words.how_compared(runs)
    text = write_report(tmp_path / "page.html", {run.name: run.result for run in runs}).read_text(encoding="utf-8")
    assert text.count("<main ") == (3 if runs_n == 2 else 1)


@pytest.mark.parametrize(("classes", "symbols"), [(("Maker", "Taker"), ("A", "A")), (("Maker", "Maker"), ("A", "B"))])
def test_what_trades_side_by_side_is_compared_by_its_total(classes: tuple[str, str], symbols: tuple[str, str]) -> None:
    """A maker and a taker that run together are a portfolio, and so are rows of one class on an instrument each: what stands for their run is the sum."""
    places = [row(name.lower() + str(i))._replace(strategy=name) for i, name in enumerate(classes)]
    known = [instrument(i, symbol) for i, symbol in enumerate(sorted({*symbols}))]
    journal = Journal(known, places)
    for i in range(2):
        which = sorted({*symbols}).index(symbols[i])
        journal.fill(1, 1, 100, row=i, place=which)
        journal.sample(200, 210, row=i, place=which)
    run = Run("both", journal.result())
    assert not run.is_sweep
    assert run.compared["row"].to_list() == [None]
    assert run.compared["pnl_net"][0] == sum(net_of(run.result))
