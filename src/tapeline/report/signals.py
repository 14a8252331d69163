"""The figure of what strategies recorded with `self.signal`."""

from collections.abc import Sequence
from typing import Final

import plotly.graph_objects as go
import polars as pl

from tapeline.report.base import SERIES, TIME_AXIS, Run, figure
from tapeline.report.market import add_steps

SIGNALS_MAX: Final = 6
"""Signals that have a panel: the first as declared."""
MARKERS_MAX: Final = 200
"""So few values of a line are marked one by one."""
PANEL: Final = 130
NAME: Final = 26
"""Pixels of a panel, and of the name above it."""
_FLOAT32_MAX: Final = 3e38


def recorded(run: Run) -> tuple[pl.DataFrame, list[str]]:
    """What the strategies that figures show recorded, as far as axes have a place for it; the names of these signals, as declared."""
    values = run.result.signals.filter(pl.col("row").is_in(run.shown["row"].to_list()) & (pl.col("value").abs() < _FLOAT32_MAX))
    return values, names_of(values)


def names_of(signals: pl.DataFrame) -> list[str]:
    """The names in a frame of signals, as declared."""
    return signals["signal"].unique().sort().cast(pl.String).to_list()


def signals_figure(run: Run, values: pl.DataFrame, names: Sequence[str]) -> go.Figure:
    """A panel per signal, one above the other over the same time; strategies in their usual colours, the best on top.

    `values`: those that `recorded` gives; `names`: of the signals to draw.
    """
    whole = len(names) * (PANEL + NAME)
    made = figure(whole + 60, hovermode="x unified", legend=run.is_several, xaxis={**TIME_AXIS, "anchor": f"y{len(names)}"})
    made.update_xaxes(range=[run.sampling.start_ns / 1e6, run.sampling.end_ns / 1e6])
    parts = values.partition_by("signal", "row", as_dict=True)
    strategies = {line["row"]: (i, run.name_of(line)) for i, line in reversed(list(enumerate(run.shown.to_dicts())))}
    named: set[int] = set()
    for place, signal in enumerate(names):
        bottom = (len(names) - 1 - place) * (PANEL + NAME)
        top = (bottom + PANEL) / whole
        made.update_layout({f"yaxis{place + 1}": {"domain": [bottom / whole, top], "hoverformat": ",.6~g", "nticks": 5}})
        made.add_annotation(text=signal, x=0, y=top, xref="paper", yref="paper", xanchor="left", yanchor="bottom", showarrow=False)
        for row, (i, name) in sorted(strategies.items(), key=lambda item: item[1]):
            part = parts.get((signal, row))
            if part is not None:
                line = {"color": SERIES[i], "width": 1.2, "shape": "hv"}
                look = {"line": line, "yaxis": f"y{place + 1}", "legendgroup": name, "showlegend": row not in named, "zorder": -i}
                single = {"mode": "lines+markers", "marker": {"size": 4}} if part.height <= MARKERS_MAX else {}
                add_steps(made, part["ts"].to_physical().to_numpy(), part["value"].to_numpy(), name, look, **single)
                named.add(row)
    return made
