"""Figures of a sweep: net PnL over the parameters in which rows of a class differ."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
import polars as pl

from tapeline.manifest import differing, parameters_of
from tapeline.report.base import NEUTRAL, SERIES, Run, currency_axis, figure
from tapeline.report.placed import whole

PANELS_MAX: Final = 6
"""Parameters of one class that are drawn: the first as declared."""
POINTS_MAX: Final = 1_000
"""Of more rows, so many are points, drawn by lot; lines and heat maps are of all."""
CELLS_MAX: Final = 10_000
GRID_SHARE_MIN: Final = 0.5
"""Of the pairs of two parameters' values that rows have, where a heat map is drawn."""
LABELS_MAX: Final = 12
MARKED_MAX: Final = 3
TEXT_MAX: Final = 100
"""Characters about a row under the mouse."""
LOG_RATIO_MIN: Final = 50.0
DIGITS_RATIO_MAX: Final = 1e4
COLOR_QUANTILE: Final = 0.9
SCALE: Final = ((0.0, "rgba(229,83,75,0.8)"), (0.5, "rgba(139,148,158,0.12)"), (1.0, "rgba(45,164,78,0.8)"))
"""LOSS and GAIN, so that numbers can be read on them, dark or light."""

Values = npt.NDArray[np.float64]


class Grid(NamedTuple):
    """Two parameters' values, growing, and the mean net PnL of the rows that have them."""

    x: Values
    y: Values
    net: Values
    """(y, x); NaN where no row is."""


@dataclass(frozen=True)
class Sweep:
    """The rows of one class in one currency, and the parameters that tell them apart."""

    strategy: str
    """The class."""
    currency: str
    parameters: dict[str, Values]
    """(rows,) by name: those that are numbers and differ, at most PANELS_MAX."""
    words: dict[str, dict[float, str]]
    """What values are called that are no amounts, by the parameter's name: members of enumerations, False and True."""
    left_out: list[str]
    """Names of those that differ, too."""
    net: Values
    """(rows,) net PnL."""
    text: list[str]
    """What each row is called, and its parameters."""

    @cached_property
    def drawn(self) -> npt.NDArray[np.int64]:
        """Indices of the rows that are drawn one by one, the best among them."""
        n = len(self.net)
        lot = np.random.default_rng(0).permutation(n)[:POINTS_MAX]
        return np.union1d(lot, [int(self.net.argmax())])

    @cached_property
    def grid(self) -> Grid | None:
        """Of two parameters, where rows are in most places of a grid."""
        if len(self.parameters) != 2:
            return None
        (x, column), (y, line) = (np.unique(values, return_inverse=True) for values in self.parameters.values())
        cells, place = len(x) * len(y), line * len(x) + column
        if cells > CELLS_MAX or len(np.unique(place)) < GRID_SHARE_MIN * cells:
            return None
        counts, sums = np.bincount(place, minlength=cells), np.bincount(place, self.net, cells)
        return Grid(x, y, np.divide(sums, counts, out=np.full(cells, np.nan), where=counts > 0).reshape(len(y), len(x)))


def sweeps(run: Run) -> list[Sweep]:
    """One per class and currency whose rows differ in a parameter that is a number."""
    net = run.stats.frame.filter(pl.col("row").is_not_null() & pl.col("pnl_net").is_not_null())
    found = []
    for currency, lines in net.select("row", "currency", "pnl_net").sort("row").partition_by("currency", as_dict=True, maintain_order=True).items():
        net_of = dict(lines.select("row", "pnl_net").iter_rows())
        for strategy, all_rows in run.classes.items():
            rows = [row for row in all_rows if row["row"] in net_of]
            names = differing(rows) if rows else []
            columns = {name: [row["parameters"][name] for row in rows] for name in names}
            shown = [name for name, values in columns.items() if all(isinstance(value, int | float) for value in values)][:PANELS_MAX]
            if shown:
                parameters = {name: np.array(columns[name], np.float64) for name in shown}
                text = ["<br>".join((row["label"], run.varied[row["row"]]))[:TEXT_MAX] for row in rows]
                left_out = [name for name in names if name not in shown]
                called = {name: words for name in shown if (words := _words(rows, name))}
                found.append(Sweep(strategy, str(currency[0]), parameters, called, left_out, np.array([net_of[row["row"]] for row in rows]), text))
    return found


def _words(rows: Sequence[dict[str, Any]], name: str) -> dict[float, str]:
    """What the values of a parameter are called, where they are no amounts."""
    told = {float(row["parameters"][name]): parameters_of(row)[name] for row in rows}
    return {} if all(isinstance(word, int | float) and not isinstance(word, bool) for word in told.values()) else {at: str(word) for at, word in told.items()}


def sweep_figures(sweep: Sweep) -> list[go.Figure]:
    """Of one parameter, net PnL over it; of two, a map of their plane; of more, net PnL over each."""
    if len(sweep.parameters) == 2:
        return [_plane(sweep) if sweep.grid is None else _cells(sweep, sweep.grid)]
    return [_panel(sweep, name, 340 if len(sweep.parameters) == 1 else 260) for name in sweep.parameters]


def _panel(sweep: Sweep, name: str, height: int) -> go.Figure:
    """Rows as points, the mean of those with the same value as a line, and a ring around the best."""
    x, net, drawn = sweep.parameters[name], sweep.net, sweep.drawn
    made = figure(height, legend=False, hovermode="closest", xaxis=_axis(sweep, name), yaxis={"title": f"net PnL, {currency_axis(sweep.currency)}"})
    values, place = np.unique(x, return_inverse=True)
    if len(sweep.parameters) == 1 or 2 * len(values) <= len(x):
        mean = np.bincount(place, net) / np.bincount(place)
        style = {"line": {"color": NEUTRAL, "width": 1.4}, "hovertemplate": "mean %{y:,.2f}<extra></extra>"}
        made.add_scatter(x=values, y=mean, name="mean", mode="lines", **style)
    hover = {"text": [sweep.text[i] for i in drawn], "hovertemplate": "%{text}<br>net PnL %{y:,.2f}<extra></extra>"}
    made.add_scatter(x=x[drawn], y=net[drawn], name="rows", mode="markers", marker=_marker(len(drawn)), **hover)
    _add_ring(made, x, net, net)
    return made


def _plane(sweep: Sweep) -> go.Figure:
    """The plane of two parameters, with a point per row that has the colour of its net PnL."""
    (x_name, x), (y_name, y) = sweep.parameters.items()
    made = figure(440, legend=False, hovermode="closest", xaxis=_axis(sweep, x_name), yaxis=_axis(sweep, y_name))
    drawn = sweep.drawn
    colors = {"color": sweep.net[drawn], "showscale": True, **_colors(sweep, "c")}
    marker = {**_marker(len(drawn)), "size": 10, "opacity": 1, "line": {"width": 0.5, "color": NEUTRAL}, **colors}
    hover = {"text": [sweep.text[i] for i in drawn], "hovertemplate": "%{text}<br>net PnL %{marker.color:,.2f}<extra></extra>"}
    made.add_scatter(x=x[drawn], y=y[drawn], name="rows", mode="markers", marker=marker, **hover)
    _add_ring(made, x, y, sweep.net)
    return made


def _cells(sweep: Sweep, grid: Grid) -> go.Figure:
    """A heat map whose cells are equally large, however unequal the steps are, with numbers in them where these have room."""
    (x_name, y_name), (x_labels, y_labels) = sweep.parameters, [_called(sweep, *axis) for axis in zip(sweep.parameters, grid[:2], strict=True)]
    height = min(120 + 40 * len(y_labels), 520)
    made = figure(height, legend=False, hovermode="closest", xaxis=_categories(x_name, x_labels), yaxis=_categories(y_name, y_labels))
    hover = f"{x_name} %{{x}}<br>{y_name} %{{y}}<br>net PnL %{{z:,.2f}}<extra></extra>"
    made.add_heatmap(x=x_labels, y=y_labels, z=grid.net, name="net PnL", hovertemplate=hover, hoverongaps=False, **_colors(sweep, "z"))
    if max(grid.net.shape) <= LABELS_MAX:
        made.update_traces(texttemplate=f"%{{z:,.{0 if np.nanmax(np.abs(grid.net)) >= 100 else 2}f}}", xgap=1, ygap=1)
    return made


def _add_ring(made: go.Figure, x: Values, y: Values, net: Values) -> None:
    best = int(net.argmax())
    ring = {"symbol": "circle-open", "size": 15, "color": SERIES[1], "line": {"width": 2}}
    made.add_scatter(x=[x[best]], y=[y[best]], name="best", mode="markers", marker=ring, hoverinfo="skip")


def _marker(n: int) -> dict[str, Any]:
    return {"color": SERIES[0], "size": 7 if n <= 200 else 5, "opacity": 0.85 if n <= 200 else 0.5, "line": {"width": 0}}


def _colors(sweep: Sweep, letter: str) -> dict[str, Any]:
    """Losses and gains as colours, equally strong on both sides of zero; `letter`: c of markers, z of cells."""
    most = float(np.quantile(np.abs(sweep.net), COLOR_QUANTILE)) or float(np.abs(sweep.net).max()) or 1.0
    bar = {"title": {"text": currency_axis(sweep.currency)}, "thickness": 12, "outlinewidth": 0, "tickformat": ","}
    return {"colorscale": SCALE, f"{letter}min": -most, f"{letter}max": most, "colorbar": bar}


def _axis(sweep: Sweep, name: str) -> dict[str, Any]:
    """An axis of a parameter: logarithmic where its values are of several orders of magnitude; few values are marked as they are, whole ones have no halves."""
    values = sweep.parameters[name]
    low, high, few = values.min(), values.max(), np.unique(values)
    if name in sweep.words:
        return {"title": name, "tickvals": few, "ticktext": _called(sweep, name, few)}
    is_log = low > 0 and high / low >= LOG_RATIO_MIN
    axis = {"title": name, "type": "log" if is_log else "linear", "tickformat": ""}
    if len(few) <= MARKED_MAX:
        return {**axis, "tickvals": few, "ticktext": _labels(few)}
    if is_log:
        return {**axis, "dtick": "D2" if high / low < DIGITS_RATIO_MAX else 1}
    return {**axis, **(whole(high - low) if (values == np.round(values)).all() else {})}


def _categories(name: str, labels: Sequence[str]) -> dict[str, Any]:
    return {"title": name, "type": "category", "tickvals": list(labels[:: -(-len(labels) // LABELS_MAX)]), "showgrid": False, "ticklabelstandoff": 4}


def _called(sweep: Sweep, name: str, values: Values) -> list[str]:
    """Values of a parameter as an axis has them."""
    words = sweep.words.get(name)
    return _labels(values) if words is None else [words[value] for value in values]


def _labels(values: Values) -> list[str]:
    """Values as short as tells them apart; B is 1e9, as on Plotly's axes."""
    units = [next(((unit, name) for unit, name in ((1e9, "B"), (1e6, "M")) if abs(value) >= unit), (1.0, "")) for value in values]
    for digits in (4, 8):
        labels = [f"{value / unit:.{digits}g}{name}" for value, (unit, name) in zip(values, units, strict=True)]
        if len(set(labels)) == len(labels):
            return labels
    return [repr(float(value)) for value in values]
