"""The comparison of two results: what counts as equal, and which difference is named."""

import math

import polars as pl
import pytest
from journals import SECOND, START, Journal, instrument, row

from tapeline.verify import compare


def journal(signal: float = math.nan) -> Journal:
    """Two rows with two fills each, at seconds 1 and 3 of row 0 and 2 and 4 of row 1."""
    made = Journal(rows=[row("x", signals=("s",)), row("y")])
    for time, r in ((1, 0), (2, 1), (3, 0), (4, 1)):
        made.fill(time, 1, 100 + time, row=r)
        made.order(time, row=r, filled=1)
    for r in (0, 1):
        made.sample(5, 200, row=r)
    made.signals.append({"ts": START, "value": signal, "row": 0, "signal": 0})
    return made


def test_equal_results_are_equal() -> None:
    """Two results of the same journal agree, NaN signals included, and the report counts what was compared."""
    found = compare(journal().result(), journal().result())
    assert found.is_equal
    assert found.to_dict()["equal"] is True
    assert found.lines == {"fills": 4, "orders": 4, "equity": 2, "signals": 1, "stops": 0, "steps": 0}
    assert str(found) == "compiled and reference agree: 4 fills, 4 orders, 2 equity, 1 signals, 0 stops, 0 steps"


def test_the_first_difference_is_named_with_both_values() -> None:
    """A changed size is named with frame, row, line, time, column and both values."""
    other = journal()
    other.fills[2]["size_left"] = 7
    found = compare(journal().result(), other.result())
    first = found.differences[0]
    assert (first.frame, first.strategy, first.row, first.index, first.column) == ("fills", "x", 0, 1, "size_left")
    assert (first.compiled, first.reference) == (0, 7)
    assert first.time == START + 3 * SECOND
    assert "size_left is 0 compiled, 7 in the reference" in str(found)
    assert "2023-11-14 22:13:23.000000000 UTC" in str(found)
    assert "equal: 4 orders, 2 equity, 1 signals, 0 stops, 0 steps" in str(found)


def test_differences_are_in_order_of_time() -> None:
    """Of differences in several rows and frames, the earliest in time comes first, whatever the order of rows; the others are told behind it."""
    other = journal()
    other.fills[2]["size_left"] = 7
    other.fills[1]["size_left"] = 9
    found = compare(journal().result(), other.result())
    assert [(d.row, d.reference) for d in found.differences] == [(1, 9), (0, 7)]
    assert [line.partition(", at ")[0] for line in str(found).splitlines()] == [
        "first difference: fills, line 0 of y (row 1)",
        "also: fills, line 1 of x (row 0)",
        "equal: 4 orders, 2 equity, 1 signals, 0 stops, 0 steps",
    ]


def test_a_missing_line_is_a_difference() -> None:
    """A fill that only one engine made is named, and what stands in its place."""
    other = journal()
    other.signals.clear()
    found = compare(journal(1.5).result(), other.result())
    (only,) = found.differences
    assert (only.frame, only.column, only.reference) == ("signals", "line", "(no such line)")
    assert "value=1.5" in str(only.compiled)
    (only,) = compare(other.result(), journal(1.5).result()).differences
    assert only.compiled == "(no such line)"


def test_counters_are_compared() -> None:
    """A counter that differs, or that only one engine has, is a difference."""
    other = journal()
    other.counters = {"records": 10, "events": 6, "crossed": 0}
    found = compare(journal().result(), other.result())
    assert not found.is_equal
    assert found.counters == {"events": (5, 6), "crossed": (None, 0)}
    assert "counter events: 5 compiled, 6 in the reference" in str(found)


@pytest.mark.parametrize("value", [0.1 + 0.2, 1e-300, -1.0])
def test_floats_are_compared_bit_by_bit(value: float) -> None:
    """The next float is a difference."""
    assert compare(journal(value).result(), journal(value).result()).is_equal
    assert not compare(journal(value).result(), journal(math.nextafter(value, 2)).result()).is_equal


@pytest.mark.parametrize(("value", "is_told"), [(1.1139616655166624, True), (1.11397, False)])
def test_last_digits_of_signals_are_explained(value: float, *, is_told: bool) -> None:
    """A signal that differs in its last digits is a difference, and where it comes from is said; one that differs by more is left to the user."""
    found = compare(journal(1.113961665516663).result(), journal(value).result())
    assert not found.is_equal
    assert ("NumPy pairwise" in str(found)) == is_told


def test_other_labels_are_a_difference_and_no_error() -> None:
    """Results whose strategies or symbols have other names can be compared."""
    other = journal()
    other.rows[0] = row("z", signals=("s",))
    other.instruments[0] = instrument(symbol="NQH4")
    found = compare(journal().result(), other.result())
    assert {d.column for d in found.differences} >= {"strategy", "symbol"}


def test_every_frame_has_a_time_to_order_differences() -> None:
    """A difference in each of the four frames is found."""
    for frame in ("fills", "orders", "equity", "signals"):
        one = journal(1.0).result()
        changed = getattr(one, frame).with_columns(pl.lit(99, pl.Int32).alias("row"))
        other = journal(1.0).result()
        object.__setattr__(other, frame, changed)
        assert {d.frame for d in compare(one, other).differences} == {frame}
