"""What all figures share: the run that is drawn, colours, axes, times as numbers."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
import polars as pl

from tapeline.constants import TIME_END
from tapeline.manifest import varied
from tapeline.report.shown import Figure
from tapeline.result import Result
from tapeline.stats import Stats
from tapeline.stats.risk import Sampling
from tapeline.stats.summary import Frames
from tapeline.tables import best_lines, best_title, given, is_numbered
from tapeline.window import Window

BUY, SELL, GAIN, LOSS, NEUTRAL = "#2f81f7", "#e8710a", "#2da44e", "#e5534b", "#8b949e"
SERIES: Final = ("#2f81f7", "#e8710a", "#2da44e", "#a371f7", "#d29922", "#db61a2", "#8b949e")
"""Told apart by most colour-blind people, and on dark and light grounds."""
GRID: Final = "rgba(128,128,128,0.18)"
FONT: Final = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"
STRATEGY: Final = ["row", "strategy", "currency"]
"""Columns that tell a line of statistics."""
LINES_MAX: Final = 6
"""Strategies that figures show: the best by net PnL."""
VARIED_MAX: Final = 40
"""Characters of parameters that a legend has room for."""
TIME_AXIS: Final = {"type": "date", "title": {"text": "UTC", "standoff": 4}}
_LOOK: Final = {"gridcolor": GRID, "zerolinecolor": "rgba(128,128,128,0.45)", "linecolor": GRID, "automargin": True, "ticks": ""}
_TEMPLATE: Final = go.layout.Template(layout={"xaxis": _LOOK, "yaxis": {**_LOOK, "tickformat": ",", "title": {"standoff": 8}}})
"""What axes look like that say nothing else."""


@dataclass(frozen=True)
class Run:
    """A result as the report needs it."""

    name: str
    result: Result

    @cached_property
    def stats(self) -> Stats:
        """The result's statistics."""
        return self.result.stats

    @property
    def sampling(self) -> Sampling:
        """The periods of its ratios, and when it starts and ends."""
        return self.stats.settings.sampling

    @property
    def frames(self) -> Frames:
        """Its frames with currencies, markouts, round trips and positions."""
        return self.stats.frames

    @cached_property
    def bars(self) -> pl.DataFrame:
        """What the market did around its fills, in the run's window."""
        start, end = Window.from_manifest(self.result.manifest)
        ns = pl.col("ts").to_physical()
        return self.result.observed.bars.filter(ns >= (-TIME_END if start is None else start), ns < (TIME_END if end is None else end))

    @cached_property
    def shown(self) -> pl.DataFrame:
        """The lines of its statistics that figures show, of each currency the best first: row, strategy, currency."""
        return best_lines(self.stats.frame, LINES_MAX).select(STRATEGY)

    @cached_property
    def drawn(self) -> Frames:
        """The lines of these strategies' rows in its frames: of a thousand rows, each figure went through the lines of all for each that it shows."""
        rows, all_of = self.shown["row"].unique(), self.frames
        if len(rows) == self.strategies_n:
            return all_of
        names = ("fills", "orders", "equity", "spans")
        return all_of._replace(**{name: getattr(all_of, name).filter(pl.col("row").is_in(rows.implode())) for name in names})

    @cached_property
    def is_sweep(self) -> bool:
        """Whether strategies are alternatives, rows of one class that traded the same instrument: nobody trades all of them, and their sum is no result."""
        classes = pl.Series("class", [row["strategy"] for row in self.result.manifest.get("strategies", [])], pl.String)
        traded = self.result.fills.select("row", "symbol").unique()
        return bool(traded.select(classes.gather(traded["row"]), "symbol").is_duplicated().any())

    @cached_property
    def compared(self) -> pl.DataFrame:
        """The lines of its statistics that stand for it beside other runs, one per currency: the total, or of alternatives the best by net PnL."""
        if not self.is_sweep:
            return self.stats.total_lines
        rows = self.stats.frame.filter(pl.col("row").is_not_null())
        ranked = rows.sort("currency", "pnl_net", descending=[False, True], nulls_last=True)
        return ranked.unique("currency", keep="first", maintain_order=True)

    def of_compared(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The part of a frame that belongs to these lines."""
        if not self.is_sweep:
            return frame
        lines = self.compared.select("row", "currency").iter_rows()
        return frame.filter(pl.any_horizontal(False, *((pl.col("row") == row) & (pl.col("currency") == currency) for row, currency in lines)))

    @cached_property
    def shown_of(self) -> str:
        """Which strategies these are, where they are not all."""
        lines = self.stats.frame["row"].drop_nulls().len()
        return best_title(self.stats.frame, LINES_MAX) if lines > self.shown.height else ""

    @cached_property
    def unit(self) -> str:
        """The unit of money of what is shown: its currency, where it has one in common."""
        currencies = self.shown["currency"].unique()
        return currency_axis(currencies[0] if len(currencies) == 1 else "")

    @cached_property
    def strategies_n(self) -> int:
        """How many strategies there are statistics of."""
        return self.stats.frame["row"].drop_nulls().n_unique()

    @property
    def is_several(self) -> bool:
        """Whether there is more than one strategy."""
        return self.strategies_n > 1

    @cached_property
    def classes(self) -> dict[str, list[dict[str, Any]]]:
        """The manifest's rows by class."""
        found: dict[str, list[dict[str, Any]]] = {}
        for row in self.result.manifest.get("strategies", []):
            found.setdefault(row["strategy"], []).append(row)
        return found

    @cached_property
    def varied(self) -> dict[int, str]:
        """By row, the parameters in which strategies of its class differ, such as `size=2`."""
        return {row: given(parameters) for row, parameters in varied(self.result.manifest).items()}

    def of(self, frame: pl.DataFrame, line: dict[str, Any]) -> pl.DataFrame:
        """The part of a frame that belongs to a line of `shown`."""
        return frame.filter((pl.col("row") == line["row"]) & (pl.col("currency") == line["currency"]))

    def name_of(self, line: dict[str, Any]) -> str:
        """A line of `shown` in a legend."""
        several = self.stats.frame.select("row", "currency").unique()["row"].is_duplicated().any()
        varied = self.varied.get(line["row"]) if is_numbered(line["strategy"], line["row"]) else None
        name = f"{line['strategy']} ({varied})" if varied and len(varied) <= VARIED_MAX else str(line["strategy"])
        return f"{name} {line['currency']}".strip() if several else name


def figure(height: int = 340, *, legend: bool = True, **layout: Any) -> Figure:
    """An empty figure whose ground is the page's."""
    base = {
        "height": height,
        "template": _TEMPLATE,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": FONT, "size": 12, "color": "#7d8590"},
        "margin": {"l": 64, "r": 20, "t": 12, "b": 40},
        "showlegend": legend,
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "tracegroupgap": 0, "bgcolor": "rgba(0,0,0,0)"},
        "hoverlabel": {"font": {"family": FONT}, "namelength": -1},
        "bargap": 0.15,
        "colorway": list(SERIES),
    }
    return Figure(layout={**base, **layout})


def ms(times: pl.Series) -> npt.NDArray[np.float64]:
    """Times as Plotly's date axes take numbers: milliseconds since the epoch; 8 bytes each where text would be 30."""
    return times.dt.cast_time_unit("ns").to_physical().to_numpy() / 1e6


def short(values: Any) -> npt.NDArray[np.float32]:
    """Values to the precision of a screen."""
    return np.asarray(values, np.float32)


def currency_axis(currency: str) -> str:
    """The unit of money, as an axis says it."""
    return currency or "currency"
