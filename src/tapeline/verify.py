"""The compiled engine against the reference: the same run through both, and the first event in which they differ."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from tapeline.frames import TIME
from tapeline.result import FRAMES, Result

_TIMES: Final = {"fills": "ts_local", "orders": "ts_sent", "equity": "ts", "signals": "ts", "stops": "ts", "steps": "ts_event"}
_ABSENT: Final = "(no such line)"
_ROUNDING: Final = 1e-9
"""Signals that differ by a smaller share differ in their last digits only."""


@dataclass(frozen=True)
class Difference:
    """The first line of a frame, for one row, in which two results differ. `index` counts the row's own lines from 0."""

    frame: str
    strategy: str
    row: int
    index: int
    time: int
    """Nanoseconds since the epoch, of the earlier of the two lines."""
    column: str
    compiled: object
    reference: object

    @property
    def is_rounding(self) -> bool:
        """Whether it is a signal whose last digits differ, as they may where a callback sums up an array."""
        values = (self.compiled, self.reference)
        return (self.frame, self.column) == ("signals", "value") and all(isinstance(v, float) for v in values) and math.isclose(*values, rel_tol=_ROUNDING)  # type: ignore[arg-type]  # floats

    def __str__(self) -> str:
        """One sentence."""
        when = pl.Series([self.time]).cast(TIME).dt.strftime("%Y-%m-%d %H:%M:%S.%9f UTC")[0]
        return (
            f"{self.frame}, line {self.index} of {self.strategy} (row {self.row}), at {when} ({self.time}): "
            f"{self.column} is {self.compiled} compiled, {self.reference} in the reference"
        )


@dataclass(frozen=True)
class Comparison:
    """All differences between two results: per frame and row the first, earliest first, and every counter."""

    differences: tuple[Difference, ...]
    counters: dict[str, tuple[int | None, int | None]]
    """Those that differ: name → (compiled, reference)."""
    lines: dict[str, int]
    """Lines compared, per frame."""

    @property
    def is_equal(self) -> bool:
        """Whether nothing differs."""
        return not self.differences and not self.counters

    def __str__(self) -> str:
        """What is equal, or the first difference and which counters differ."""
        if self.is_equal:
            return "compiled and reference agree: " + ", ".join(f"{n:,} {name}" for name, n in self.lines.items())
        lines = [f"first difference: {self.differences[0]}"] if self.differences else []
        lines += [f"also: {difference}" for difference in self.differences[1:5]]
        differing = {difference.frame for difference in self.differences}
        if equal := [f"{n:,} {name}" for name, n in self.lines.items() if name not in differing]:
            lines.append(f"equal: {', '.join(equal)}")
        lines += [f"counter {name}: {compiled} compiled, {reference} in the reference" for name, (compiled, reference) in self.counters.items()]
        if any(difference.is_rounding for difference in self.differences):
            lines.append("Of signals, last digits may differ: compiled code adds up an array (sum, mean, std) in its order, and NumPy pairwise.")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        differences = [{**vars(d), "compiled": str(d.compiled), "reference": str(d.reference)} for d in self.differences]
        return {"equal": self.is_equal, "lines": self.lines, "differences": differences, "counters": self.counters}


def verify(strategies: Sequence[Any], data: Any, *, progress: Callable[[Any], None] | None = None, **settings: Any) -> Comparison:
    """Run strategies through both engines, and compare everything they record. `settings` are those of Backtest. Raises what Backtest raises."""
    from tapeline.backtest import Backtest  # noqa: PLC0415 - imports Numba; comparing saved results does without

    compiled, reference = (Backtest(data, engine=engine, **settings).run(*strategies, progress=progress) for engine in ("compiled", "reference"))
    return compare(compiled, reference)


def compare(compiled: Result, reference: Result) -> Comparison:
    """Compare fills, orders, equity, signals and counters, bit by bit; NaN equals NaN."""
    differences = [difference for name in FRAMES for difference in _differences(name, getattr(compiled, name), getattr(reference, name))]
    names = sorted({*compiled.counters, *reference.counters})
    counters = {name: (compiled.counters.get(name), reference.counters.get(name)) for name in names}
    return Comparison(
        differences=tuple(sorted(differences, key=lambda difference: difference.time)),
        counters={name: pair for name, pair in counters.items() if pair[0] != pair[1]},
        lines={name: getattr(compiled, name).height for name in FRAMES},
    )


def _differences(name: str, left: pl.DataFrame, right: pl.DataFrame) -> list[Difference]:
    """The first difference of each row."""
    if left.equals(right):
        return []
    rows = sorted({*left["row"].unique(), *right["row"].unique()})
    found = (_first_difference(name, left.filter(pl.col("row") == row), right.filter(pl.col("row") == row)) for row in rows)
    return [difference for difference in found if difference is not None]


def _first_difference(name: str, left: pl.DataFrame, right: pl.DataFrame) -> Difference | None:
    both = min(left.height, right.height)
    places = {column: _first_unequal(left[column].head(both), right[column].head(both)) for column in left.columns}
    index = min([place for place in places.values() if place is not None], default=both)
    if index == both == left.height == right.height:
        return None
    lines = [side.row(index, named=True) if index < side.height else None for side in (left, right)]
    times = [side[_TIMES[name]].to_physical()[index] for side in (left, right) if index < side.height]
    column = next((column for column, place in places.items() if place == index), "line")
    known = lines[0] or lines[1] or {}
    shown = [_ABSENT if line is None else _shown(line) if column == "line" else line[column] for line in lines]
    return Difference(name, str(known["strategy"]), known["row"], index, min(times), column, *shown)


def _first_unequal(left: pl.Series, right: pl.Series) -> int | None:
    """Index of the first place where two columns of equal length differ; nulls are equal, NaNs too, 0.0 and −0.0 are not told apart."""
    if left.dtype != right.dtype:  # other labels or symbols
        left, right = left.cast(pl.String), right.cast(pl.String)
    unequal = left.ne_missing(right).arg_true()
    return int(unequal[0]) if len(unequal) else None


def _shown(line: dict[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in line.items() if key not in {"strategy", "row"} and value is not None)
