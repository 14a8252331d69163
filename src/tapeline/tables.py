"""Numbers and tables as people read them in a terminal."""

import io
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

import polars as pl
from rich.console import Console
from rich.table import Table

ABSENT: Final = "–"
_UPRIGHT_MAX: Final = 6
"""Up to so many strategies each has a column; above, each has a line with the metrics below."""
LINES_MAX: Final = 40
_SHORT: Final = ("pnl_net", "pnl_gross", "fees", "drawdown_max", "lots", "maker_share", "fill_ratio_lots", "position_min", "position_max")
_SHARES: Final = {"maker_share", "large_share", "fill_ratio_orders", "fill_ratio_lots"}


def to_text(renderable: object) -> str:
    """A rich renderable as plain text, as wide as the terminal."""
    console = Console(file=io.StringIO(), force_terminal=False, width=max(Console().width, 60))
    console.print(renderable)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]  # a StringIO, see above
    return "\n".join(line.rstrip() for line in text.rstrip().split("\n"))


def stats_table(frame: pl.DataFrame, metrics: Mapping[str, str]) -> Table:
    """The table of `Stats.frame`: a column per strategy with every metric; or, for many strategies, a line for each of the best by net PnL, and the totals."""
    if frame.height <= _UPRIGHT_MAX:
        return _upright(frame, list(metrics))
    strategies, totals = frame.filter(pl.col("row").is_not_null()), frame.filter(pl.col("row").is_null())
    best = strategies.sort("pnl_net", descending=True, nulls_last=True).head(LINES_MAX)
    shown = strategies.height if best.height == strategies.height else f"the {best.height} best of {strategies.height}"
    table = Table(title=f"{shown} strategies by net PnL")
    table.add_column("strategy")
    for name in _SHORT:
        table.add_column(name, justify="right")
    for part in (best, totals):
        for line in part.iter_rows(named=True):
            table.add_row(_title(line), *(_format(name, line[name]) for name in _SHORT))
        table.add_section()
    return table


def pairs_table(pairs: Mapping[str, object], title: str | None = None) -> Table:
    """Two columns, names and values."""
    table = Table(title=title, show_header=False)
    table.add_column("name")
    table.add_column("value", justify="right")
    for name, value in pairs.items():
        table.add_row(name, _format(name, value))
    return table


def frame_table(frame: pl.DataFrame, title: str | None = None) -> Table:
    """A small frame as it is."""
    table = Table(title=title, title_justify="left")
    for name, dtype in frame.schema.items():
        table.add_column(name, justify="right" if dtype.is_numeric() else "left")
    for line in frame.iter_rows(named=True):
        table.add_row(*(_format(name, value) for name, value in line.items()))
    return table


def format_seconds(seconds: float) -> str:
    """A duration in its most readable unit: `350 µs`, `12.5 s`, `1:02:03`."""
    for unit, factor in (("ns", 1e9), ("µs", 1e6), ("ms", 1e3), ("s", 1.0)):
        if seconds < 60 if unit == "s" else seconds * factor < 1000:
            return f"{seconds * factor:.4g} {unit}"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def _upright(frame: pl.DataFrame, metrics: list[str]) -> Table:
    table = Table()
    table.add_column("")
    lines = frame.to_dicts()
    for line in lines:
        table.add_column(_title(line), justify="right")
    for name in metrics:
        table.add_row(name, *(_format(name, line[name]) for line in lines))
    return table


def _title(line: Mapping[str, Any]) -> str:
    return f"{line['strategy']} {line['currency']}".strip()


def _format(name: str, value: object) -> str:
    match value:
        case None:
            return ABSENT
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:.1%}" if name in _SHARES else f"{value:,.2f}"
        case timedelta():
            return format_seconds(value.total_seconds())
        case _:
            return str(value)
