"""Numbers and tables as people read them in a terminal."""

import html
import io
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import polars as pl
import polars.selectors as cs
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from tapeline.stats.metrics import Metric

ABSENT: Final = "–"
_UPRIGHT_MAX: Final = 6
"""Up to so many strategies each has a column; above, each has a line with the metrics below."""
LINES_MAX: Final = 40
_WHOLE_MIN: Final = 1_000_000
"""Money from here on is told in whole units: cents of a turnover say nothing, and take the room of a column."""
_CENTS_MIN: Final = 0.1
"""Money below is told to three digits: what a lot of 1e-8 coins gains is no 0.00."""
_ROUNDING: Final = 5e-10
"""Less than that is what is left of sums that cancel."""
_GIVEN_MAX: Final = 4
"""Parameters by which a terminal's table tells strategies apart: the first as declared."""
_GIVEN_WIDTH: Final = 24
"""Characters of one: of an array, the beginning."""
Varied = Mapping[int, Mapping[str, str]]
"""By row, the parameters in which rows of a class differ."""
_SHORT: Final = (
    "pnl_net",
    "pnl_gross",
    "fees",
    "drawdown_max",
    "sharpe",
    "lots",
    "pnl_per_lot",
    "maker_share",
    "fill_ratio_lots",
    "position_min",
    "position_max",
)


def to_text(renderable: object) -> str:
    """A rich renderable as plain text, as wide as the terminal."""
    console = Console(file=io.StringIO(), force_terminal=False, width=max(Console().width, 60))
    console.print(renderable)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]  # a StringIO, see above
    return "\n".join(line.rstrip() for line in text.rstrip().split("\n"))


def stats_table(frame: pl.DataFrame, metrics: Mapping[str, "Metric"], notes: Sequence[str], varied: Varied) -> Group:
    """The tables of `Stats.frame`: a column per strategy with every metric; or, for many strategies, a line for each of the best by net PnL, and the totals."""
    table = _Upright(to_lines(frame), metrics, varied) if frame.height <= _UPRIGHT_MAX else _Best(frame, metrics, varied)
    return Group(table, *(Text(note, style="dim") for note in notes))


def stats_html(frame: pl.DataFrame, metrics: Mapping[str, "Metric"], notes: Sequence[str], varied: Varied) -> str:
    """The same for a page or a notebook, with what each metric means; its style follows the page's colours."""
    below = "".join(f'<p class="note">{html.escape(note)}</p>' for note in notes)
    if frame.height > _UPRIGHT_MAX:
        return _best_html(frame, metrics, varied) + below
    return upright_html([(_told(line, varied), line) for line in to_lines(frame)], metrics) + below


def upright_html(lines: Sequence[tuple[str, Mapping[str, Any]]], metrics: Mapping[str, "Metric"]) -> str:
    """An HTML table with a column per line, under its title, and every metric with what it means."""
    body = []
    for section, names in by_section(metrics).items():
        body.append(f'<tr class="section"><th colspan="{len(lines) + 2}" style="text-align:left">{html.escape(section)}</th></tr>')
        body += [_html_row("td", [name, *(format_metric(metrics[name], line[name]) for _, line in lines)], metrics[name].meaning) for name in names]
    return _html_table(_html_row("th", ["", *(title for title, _ in lines)], ""), body)


def _best_html(frame: pl.DataFrame, metrics: Mapping[str, "Metric"], varied: Varied) -> str:
    """A line for each of the best strategies, with what it was given, and the totals."""
    has_parameters = any(varied.values())
    lines = [([_title(line), *([given(varied.get(line["row"], {}))] if has_parameters else [])], line) for line in _ranked(frame)]
    table = lines_html(["strategy", *(["parameters"] if has_parameters else [])], lines, metrics)
    return f"<p>{best_title(frame, LINES_MAX)}; stats.frame has all of them, with every metric.</p>{table}"


def lines_html(head: Sequence[str], lines: Sequence[tuple[Sequence[str], Mapping[str, Any]]], metrics: Mapping[str, "Metric"]) -> str:
    """An HTML table with a line per line, behind its words, of the metrics that come first; totals at the foot, where a page that sorts lines leaves them."""
    rows = [(_html_row("td", [*told, *(format_metric(metrics[name], line[name]) for name in _SHORT)]), line["row"] is None) for told, line in lines]
    body, totals = ([row for row, is_total in rows if is_total is wanted] for wanted in (False, True))
    top = _html_row("th", [*head, *_SHORT])
    return _html_table(top, body, totals) if body else _html_table(top, totals)


def _html_table(head: str, body: Sequence[str], foot: Sequence[str] = ()) -> str:
    end = f"<tfoot>{''.join(foot)}</tfoot>" if foot else ""
    return f'<div class="wide"><table class="stats"><thead>{head}</thead><tbody>{"".join(body)}</tbody>{end}</table></div>'


def to_lines(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """Lines of a frame as dicts, durations in seconds: a timedelta knows no nanoseconds."""
    return frame.with_columns(cs.duration().dt.total_nanoseconds() / 1e9).to_dicts()


def by_section(metrics: Mapping[str, "Metric"]) -> dict[str, list[str]]:
    """Names of metrics by their section, in order."""
    sections: dict[str, list[str]] = {}
    for name, metric in metrics.items():
        sections.setdefault(metric.section, []).append(name)
    return sections


def listed(names: Sequence[str], most: int = 5, between: str = ", ") -> str:
    """Names in a sentence; of many, the first and how many more there are."""
    return between.join(names[:most]) + (f" and {len(names) - most:,} more" if len(names) > most else "")


def given(parameters: Mapping[str, Any]) -> str:
    """Parameters in a sentence, such as `size=2, position_max=10`."""
    return ", ".join(f"{name}={value}" for name, value in parameters.items())


def is_numbered(label: str, row: int) -> bool:
    """Whether nothing but a number tells a row from others of its name; who was given a name of its own is known by that."""
    return label.endswith(f"#{row}")


def counted(n: int, what: str) -> str:
    """A number of things: one order, and else orders."""
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"


def format_money(value: float) -> str:
    """An amount as people read it: without decimals from a million on, to three digits where it is less than a tenth, else with two decimals."""
    return f"{value:.3g}" if _ROUNDING < abs(value) < _CENTS_MIN else _format_rounded(value)


def _format_rounded(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= _WHOLE_MIN else f"{value:,.2f}"


def format_metric(metric: "Metric", value: Any) -> str:
    """A metric's value as people read it: money as `format_money` has it, shares in percent, durations in their best unit, a dash for none."""
    if value is None:
        return ABSENT
    match metric.unit:
        case "share":
            return f"{value:.1%}"
        case "duration":
            return format_seconds(value)
        case "money":
            return format_money(value)
        case "ratio" | "bps":
            return _format_rounded(value)
        case _:
            return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def records_table(records: Sequence[Mapping[str, Any]], title: str) -> Table:
    """A line per record, a column per name; what a record lacks is absent."""
    names = list(dict.fromkeys(name for record in records for name in record))
    table = Table(title=title, title_justify="left")
    for name in names:
        numeric = all(isinstance(record.get(name), int | float | None) for record in records)
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for record in records:
        table.add_row(*(_plain(record.get(name)) for name in names))
    return table


def _plain(value: Any) -> str:
    match value:
        case None:
            return ABSENT
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"
    return str(value)


def pairs_table(pairs: Mapping[str, object], title: str | None = None) -> Table:
    """Two columns, names and values."""
    table = Table(title=title, title_justify="left", show_header=False, min_width=len(title or ""))
    table.add_column("name", overflow="fold")
    table.add_column("value", justify="right", overflow="fold")
    for name, value in pairs.items():
        table.add_row(name, _format(value))
    return table


def frame_table(frame: pl.DataFrame, title: str | None = None) -> Table:
    """A small frame as it is; times to the microsecond."""
    table = Table(title=title, title_justify="left", min_width=len(title or ""))
    for name, dtype in frame.schema.items():
        table.add_column(name, justify="right" if dtype.is_numeric() else "left", overflow="fold")
    for line in frame.with_columns(cs.datetime().dt.strftime("%Y-%m-%d %H:%M:%S%.6f")).iter_rows(named=True):
        table.add_row(*(_format(value) for value in line.values()))
    return table


def format_seconds(seconds: float) -> str:
    """A duration in its most readable unit: `350 µs`, `12.5 s`, `1:02:03`."""
    for unit, factor in (("ns", 1e9), ("µs", 1e6), ("ms", 1e3), ("s", 1.0)):
        if seconds < 60 if unit == "s" else seconds * factor < 1000:
            return f"{seconds * factor:.4g} {unit}"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


class _Upright:
    """A column per line, in as many tables as it takes: a number that is cut, or broken in two, is none."""

    def __init__(self, lines: Sequence[Mapping[str, Any]], metrics: Mapping[str, "Metric"], varied: Varied) -> None:
        """Show these lines."""
        self._lines, self._metrics, self._varied = lines, metrics, varied

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The tables, each with the columns that there is room for."""
        first = 0
        while first < len(self._lines):
            n, table = _widest(console, options, len(self._lines) - first, lambda n: _upright(self._lines[first : first + n], self._metrics, self._varied))  # noqa: B023
            yield table
            first += n


class _Best:
    """A line for each of the best strategies, with as many metrics as there is room for; the rest is named."""

    def __init__(self, frame: pl.DataFrame, metrics: Mapping[str, "Metric"], varied: Varied) -> None:
        """Show this frame."""
        self._frame, self._metrics, self._varied = frame, metrics, varied

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The table."""
        varied = list(dict.fromkeys(name for told in self._varied.values() for name in told))  # as declared
        shown = varied[:_GIVEN_MAX]
        while shown and not _fits(console, options, self._table(shown, _SHORT[:1])):
            shown.pop()
        n, table = _widest(console, options, len(_SHORT), lambda n: self._table(shown, _SHORT[:n]))
        yield table
        if varied != shown:
            yield Text(f"they differ in {listed(varied[len(shown) :])}{', too' if shown else ''}: result.parameters has all", style="dim")
        if n < len(_SHORT):
            yield Text(f"no room for {', '.join(_SHORT[n:])}: they are in stats.frame", style="dim")

    def _table(self, parameters: Sequence[str], names: Sequence[str]) -> Table:
        """Lines of strategies with these parameters and metrics, then the totals."""
        table = Table(title=best_title(self._frame, LINES_MAX), title_justify="left")
        table.add_column("strategy", no_wrap=True)
        for name in (*parameters, *names):
            table.add_column(name, justify="right")
        for line in _ranked(self._frame):
            if line["row"] is None:
                table.add_section()
            told = self._varied.get(line["row"], {})
            values = (Text(_short(told.get(name, ""))) for name in parameters)
            table.add_row(Text(_title(line)), *values, *(format_metric(self._metrics[name], line[name]) for name in names))
        return table


def _fits(console: Console, options: ConsoleOptions, table: Table) -> bool:
    """Whether there is room for a table."""
    return Measurement.get(console, options.update_width(sys.maxsize), table).maximum <= options.max_width


def _widest(console: Console, options: ConsoleOptions, most: int, make: Callable[[int], Table]) -> tuple[int, Table]:
    """The largest of the tables of `most` columns or fewer that there is room for, and how many it has; one of one column in any case."""
    for n in range(most, 1, -1):
        table = make(n)
        if _fits(console, options, table):
            return n, table
    return 1, make(1)


def _upright(lines: Sequence[Mapping[str, Any]], metrics: Mapping[str, "Metric"], varied: Varied) -> Table:
    table = Table()
    table.add_column("", no_wrap=True)
    for line in lines:
        table.add_column(Text(_told(line, varied, "\n")), justify="right")  # as it is, in whichever console: brackets are no markup
    for section, names in by_section(metrics).items():
        table.add_row(Text(section, style="bold"))
        for name in names:
            table.add_row(f"  {name}", *(format_metric(metrics[name], line[name]) for line in lines))
        table.add_section()
    return table


def _short(text: str) -> str:
    return text if len(text) <= _GIVEN_WIDTH else f"{text[: _GIVEN_WIDTH - 1]}…"


def _ranked(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """The lines of the best strategies, then the totals."""
    return to_lines(best_lines(frame, LINES_MAX)) + to_lines(frame.filter(pl.col("row").is_null()))


def best_lines(frame: pl.DataFrame, most: int) -> pl.DataFrame:
    """The lines of the best strategies by net PnL, of each currency apart; not more than `most`."""
    lines = frame.filter(pl.col("row").is_not_null()).sort("currency", "pnl_net", descending=[False, True], nulls_last=True)
    return lines.group_by("currency", maintain_order=True).head(_most_each(lines, most)).select(frame.columns).head(most)


def best_title(frame: pl.DataFrame, most: int) -> str:
    """Which lines these are."""
    lines = frame.filter(pl.col("row").is_not_null())
    strategies, currencies, each = lines["row"].n_unique(), min(lines["currency"].n_unique(), most), _most_each(lines, most)
    of = f"the {each} best of {strategies}" if strategies > each else f"{strategies}"
    return f"{of} strategies by net PnL{f' in each of {currencies} currencies' if currencies > 1 else ''}"


def _most_each(lines: pl.DataFrame, most: int) -> int:
    """Lines that each currency has room for."""
    return max(most // max(lines["currency"].n_unique(), 1), 1)


def _html_row(tag: str, cells: Sequence[str], meaning: str | None = None) -> str:
    name, *values = (html.escape(cell) for cell in cells)
    rest = "".join(f'<{tag} style="text-align:right">{value}</{tag}>' for value in values)
    last = "" if meaning is None else f'<{tag} class="meaning" style="text-align:left">{html.escape(meaning)}</{tag}>'
    return f'<tr><{tag} style="text-align:left">{name}</{tag}>{rest}{last}</tr>'


def _told(line: Mapping[str, Any], varied: Varied, between: str = " ") -> str:
    """The title of a line; where nothing but a number tells its strategy from others, with the first of the parameters that do."""
    told = varied.get(line["row"], {}) if line["row"] is not None and is_numbered(line["strategy"], line["row"]) else {}
    return between.join([_title(line), *(f"{name}={_short(value)}" for name, value in list(told.items())[:_GIVEN_MAX])])


def _title(line: Mapping[str, Any]) -> str:
    return f"{line['strategy']} {line['currency']}".strip()


def _format(value: object) -> str:
    match value:
        case float():
            return f"{value:,.2f}"
        case timedelta():
            return format_seconds(value.total_seconds())
        case _:
            return _plain(value)
