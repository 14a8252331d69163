"""The figure of what strategies recorded: whose, which, and how much of it."""

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
from journals import SECOND, START, Journal, row

from tapeline.report.base import LINES_MAX, Run
from tapeline.report.sections import Section, sections
from tapeline.report.signals import SIGNALS_MAX
from tapeline.result import Result


def recorded(values: dict[tuple[int, int], list[float]], names: tuple[str, ...] = ("edge", "skew"), rows_n: int = 2) -> Result:
    """What rows (the first is the best) recorded of signals, a value per second: (row, signal) to values."""
    journal = Journal(rows=[row(f"m{i}", signals=names) for i in range(rows_n)])
    for i in range(rows_n):
        journal.fill(1, 1, 100, row=i)
        journal.sample(100, 200 - i, row=i)
    for (i, signal), column in values.items():
        journal.signals.extend({"ts": START + k * SECOND, "value": value, "row": i, "signal": signal} for k, value in enumerate(column))
    return journal.result()


def part_of(result: Result) -> Section | None:
    """The section about signals on a result's page."""
    return next((part for part in sections(Run("run", result)) if part.title == "Signals"), None)


def traces(result: Result) -> dict[tuple[str, str], list[Any]]:
    """What is drawn, by the name of the signal and of the strategy."""
    part = part_of(result)
    assert part is not None
    ((_, figure),) = part.figures
    names = [note.text for note in figure.layout.annotations]
    found: dict[tuple[str, str], list[Any]] = {}
    for one in figure.data:
        found.setdefault((names[int((one.yaxis or "y")[1:] or 1) - 1], one.name), []).append(one)
    return found


def test_a_panel_per_signal_and_a_line_per_strategy() -> None:
    """Each signal has a panel with its name, in the order of their declaration; each strategy its values there, in the colour that it has in equity."""
    result = recorded({(0, 1): [1.5, 2.5], (0, 0): [7.0, 8.0, 9.0], (1, 1): [-1.0]})
    found = traces(result)
    assert {who: list(line.y) for who, (line,) in found.items()} == {("edge", "m0"): [7, 8, 9], ("skew", "m0"): [1.5, 2.5], ("skew", "m1"): [-1]}
    assert list(found["edge", "m0"][0].x) == [START / 1e6 + 1e3 * k for k in range(3)]
    equity = next(part for part in sections(Run("run", result)) if part.title == "Equity and drawdown").figures[0][1]
    colors = {line.name: line.line.color for line in equity.data}
    assert all(line.line.color == colors[name] for (_, name), (line,) in found.items())
    assert sorted(line.name for (line,) in found.values() if line.showlegend) == ["m0", "m1"]


def test_nothing_recorded_is_nothing_drawn() -> None:
    """A run without signals has no section about them."""
    assert part_of(recorded({})) is None


def test_what_is_not_drawn_is_said() -> None:
    """Signals beyond the panels are named; so are those that only strategies recorded that figures do not show."""
    names = tuple(f"s{i}" for i in range(SIGNALS_MAX + 2))
    part = part_of(recorded({(0, i): [1.0] for i in range(len(names))}, names))
    assert part is not None
    assert [note.text for note in part.figures[0][1].layout.annotations] == list(names[:SIGNALS_MAX])
    assert f"Not drawn: {', '.join(names[SIGNALS_MAX:])}; result.signals has all." in part.words
    others = part_of(recorded({(LINES_MAX, 0): [1.0]}, rows_n=LINES_MAX + 1))
    assert others is not None
    assert others.figures == []
    assert "no number that can be drawn" in others.words


def test_what_is_no_number_is_left_out() -> None:
    """NaN and infinite values are not drawn, and counted; a signal that has nothing else is named."""
    result = recorded({(0, 0): [1.0, np.nan, np.inf, 4.0], (0, 1): [np.nan]})
    assert {who: list(line.y) for who, (line,) in traces(result).items()} == {("edge", "m0"): [1, 4]}
    part = part_of(result)
    assert part is not None
    assert "3 values are no finite numbers" in part.words
    assert "Not drawn: skew" in part.words


def test_a_million_values_are_a_small_figure() -> None:
    """Of a million values a few thousand points are drawn, the least and the greatest among them, and means; below 200 kB."""
    n = 1_000_000
    values = np.sin(np.arange(n) / 5e4)
    values[[123_456, 765_432]] = -9, 9
    result = recorded({(0, 0): [0.0]})
    ts = START + np.arange(n) * 1_000
    frame = pl.DataFrame({"ts": pl.Series(ts).cast(result.signals.schema["ts"]), "value": values})
    whole = result.signals.drop("ts", "value").join(frame, how="cross").select(result.signals.columns)
    large = replace(result, signals=whole)
    ((points, means),) = traces(large).values()
    assert (min(points.y), max(points.y)) == (-9, 9)
    assert len(points.x) + len(means.x) < 3_000
    middle = np.asarray(means.y)[100]
    assert abs(middle - values[int(100.5 / 240 * n)]) < 0.1
    part = part_of(large)
    assert part is not None
    assert len(part.figures[0][1].to_json()) < 200_000
