"""Figures of money: equity and drawdown, where PnL came from, days."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
import polars as pl

from tapeline.report.base import GAIN, LINES_MAX, LOSS, NEUTRAL, SERIES, STRATEGY, TIME_AXIS, Run, currency_axis, figure, ms
from tapeline.report.downsample import minmax
from tapeline.stats.money import net_curve

_HOUR_MS: Final = 3_600_000.0


def equity_figure(run: Run) -> go.Figure:
    """Net equity of each strategy and of all, gross of a single one, and the drawdown below.

    The total of many is hidden at first: beside it, those that are drawn would be one line at zero; and so is that of alternatives.
    """
    made = _two_rows(run.unit)
    curves = net_curve(run.drawn.equity, STRATEGY)
    for i, line in enumerate(run.shown.to_dicts()):
        curve = run.of(curves, line)
        _add_curve(made, ms(curve["ts"]), curve["net"].to_numpy(), run.name_of(line), SERIES[i])
        if not run.is_several:
            gross = run.of(net_curve(run.drawn.equity.with_columns(net="gross"), STRATEGY), line)
            _add_line(made, ms(gross["ts"]), gross["net"].to_numpy(), "before fees", {"line": {"color": NEUTRAL, "width": 1, "dash": "dot", "shape": "hv"}})
    if run.is_several and run.shown["currency"].n_unique() == 1:
        total = net_curve(run.frames.equity, ["currency"])
        is_hidden = run.is_sweep or run.strategies_n > LINES_MAX
        _add_curve(made, ms(total["ts"]), total["net"].to_numpy(), "total", NEUTRAL, visible="legendonly" if is_hidden else True)
    return made


def unit_of(runs: Sequence[Run]) -> str:
    """The unit of money of several runs: their currency, where they have one in common."""
    units = {run.unit for run in runs}
    return units.pop() if len(units) == 1 else currency_axis("")


def compared_equity(runs: Sequence[Run], unit: str) -> go.Figure:
    """Net equity of several runs, of what stands for each; since each one's start, where they have no time in common."""
    spans = [(run.sampling.start_ns, run.sampling.end_ns) for run in runs if run.sampling.days]
    apart = bool(spans) and max(start for start, _ in spans) >= min(end for _, end in spans)
    made = _two_rows(unit)
    if apart:
        made.update_xaxes(type="linear", title="hours since the start of each run")
    for i, run in enumerate(runs):
        for (currency,), curve in (
            net_curve(run.of_compared(run.frames.equity), ["currency"]).partition_by("currency", as_dict=True, maintain_order=True).items()
        ):
            times = (ms(curve["ts"]) - run.sampling.start_ns / 1e6) / _HOUR_MS if apart else ms(curve["ts"])
            _add_curve(made, times, curve["net"].to_numpy(), f"{run.name} {currency if currency != unit else ''}".strip(), SERIES[i % len(SERIES)])
    return made


def _two_rows(unit: str) -> go.Figure:
    net = {"domain": [0.32, 1.0], "title": f"net equity, {unit}", "hoverformat": ",.2f"}
    made = figure(460, hovermode="x unified", xaxis={**TIME_AXIS, "anchor": "y2"}, yaxis=net)
    made.update_layout(yaxis2={"domain": [0.0, 0.26], "title": "drawdown", "hoverformat": ",.2f"})
    return made


Values = npt.NDArray[np.float64]


def _add_curve(made: go.Figure, times: Values, net: Values, name: str, color: str, **look: Any) -> None:
    _add_line(made, times, net, name, {"line": {"color": color, "width": 1.6, "shape": "hv"}, **look})
    fall = net - np.maximum(np.maximum.accumulate(net), 0.0) if len(net) else net
    style = {"line": {"color": color, "width": 1, "shape": "hv"}, "fill": "tozeroy", "opacity": 0.7, "yaxis": "y2", "showlegend": False}
    _add_line(made, times, fall, f"{name} drawdown", {**style, "legendgroup": name, **look})


def _add_line(made: go.Figure, times: Values, values: Values, name: str, look: dict[str, Any]) -> None:
    kept = minmax(values)
    made.add_scatter(x=times[kept], y=values[kept], name=name, mode="lines", **{"legendgroup": name, **look})


def split_figure(run: Run) -> go.Figure:
    """From captured spread to net PnL: what was earned by resting, what the market took back, what positions and fees made of it."""
    made = figure(360, legend=run.is_several, waterfallgap=0.35, yaxis={"title": run.unit})
    steps = {
        "spread<br>capture": "spread_capture",
        "adverse<br>selection": "adverse_selection",
        "inventory": "inventory_pnl",
        "gross PnL": None,
        "fees": "fees",
        "net PnL": None,
    }
    for i, line in enumerate(run.shown.to_dicts()):
        values = run.of(run.stats.frame.filter(pl.col("row").is_not_null()), line).to_dicts()[0]
        if values["inventory_pnl"] is None:  # no mid before a fill is known, or none so long after one: the run was too short
            continue
        amounts = [None if name is None else (-values[name] if name == "fees" else values[name]) for name in steps.values()]
        shown = [values["pnl_gross"] if n == "gross PnL" else values["pnl_net"] if n == "net PnL" else a for n, a in zip(steps, amounts, strict=True)]
        made.add_waterfall(
            name=run.name_of(line),
            x=list(steps),
            y=amounts,
            measure=["total" if name is None else "relative" for name in steps.values()],
            text=[f"{amount:,.0f}" for amount in shown],
            textposition="outside",
            increasing={"marker": {"color": GAIN}},
            decreasing={"marker": {"color": LOSS}},
            totals={"marker": {"color": SERIES[i]}},
            customdata=shown,
            hovertemplate="%{customdata:,.2f}",
            connector={"line": {"color": NEUTRAL, "width": 0.7, "dash": "dot"}},
            visible="legendonly" if made.data else True,
            cliponaxis=False,
        )
    return made


def markout_figure(lines: Sequence[tuple[str, pl.DataFrame]], unit: str) -> go.Figure:
    """Markout curves with their bands. Who has none keeps a colour, so that each has that of its other figures."""
    gain = {"title": f"{unit} per lot", "hoverformat": ",.2f"}
    made = figure(360, hovermode="x unified", xaxis={"title": "after the fill", "type": "category"}, yaxis=gain)
    for i, (name, curve) in enumerate(lines):
        if not curve.height:
            continue
        color = SERIES[i % len(SERIES)]
        x, band = curve["horizon"].to_list(), curve.filter(pl.col("low").is_not_null())
        if band.height:
            edge = band["horizon"].to_list()
            outline = {"x": edge + edge[::-1], "y": band["high"].to_list() + band["low"].to_list()[::-1]}
            fill = f"rgba({int(color[1:3], 16)},{int(color[3:5], 16)},{int(color[5:7], 16)},0.16)"
            made.add_scatter(**outline, fill="toself", fillcolor=fill, line={"width": 0}, hoverinfo="skip", showlegend=False, legendgroup=name, mode="lines")
        made.add_scatter(x=x, y=curve["mean"].to_list(), name=name, legendgroup=name, mode="lines+markers", line={"color": color, "width": 2})
    made.add_hline(y=0, line={"color": NEUTRAL, "width": 1})
    return made


def days_figure(run: Run) -> go.Figure:
    """Net PnL per day and strategy."""
    gap = max(0.15, 1 - 0.1 * run.stats.by_day["day"].n_unique())
    money = {"title": f"net PnL per day ({run.sampling.calendar.day_start})", "hoverformat": ",.2f"}
    made = figure(300, barmode="relative", bargap=gap, xaxis={"type": "category"}, yaxis=money)
    for i, line in enumerate(run.shown.to_dicts()):
        days = run.of(run.stats.by_day, line)
        color = {"color": SERIES[i]} if run.is_several else {"color": [GAIN if x >= 0 else LOSS for x in days["pnl_net"]]}
        made.add_bar(x=days["day"].cast(pl.String).to_list(), y=days["pnl_net"].to_list(), name=run.name_of(line), marker=color)
    return made
