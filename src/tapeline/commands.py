"""What the command line's commands do, and how what comes out is shown."""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from tapeline import load, tables, terminal
from tapeline.constants import PRICE_SCALE, Feature
from tapeline.errors import ConfigError, DataError
from tapeline.files import end_of, replacing, small_text, why
from tapeline.instruments import format_price
from tapeline.interrupts import Interrupts
from tapeline.keywords import meant

if TYPE_CHECKING:
    from tapeline.bench.suite import Report
    from tapeline.book_reader import BookReader
    from tapeline.check import Check
    from tapeline.result import Result

CPU_SHARE_MIN: Final = 0.9
"""Below it, `bench` says that its times mean little."""
RUNS: Final = Path("tapeline-runs")


def backtest(strategy: Any, data: list[Path], settings: Mapping[str, Any], progress: Callable[[Any], None]) -> tuple["Result | None", DataError | None]:
    """Run; at damaged input, give the result of all before it, if there is one, and the error."""
    from tapeline.backtest import Backtest  # noqa: PLC0415 - imports Numba, which other commands do without

    try:
        return Backtest(data, **settings).run(strategy, progress=progress), None
    except DataError as error:
        return getattr(error, "result", None), error


def place_of(output: Path | None, name: str) -> Path:
    """Where a strategy's result goes: the directory asked for, else a new one. Raises ConfigError if it cannot be written."""
    from tapeline.result import check_place  # noqa: PLC0415 - reads with polars

    return check_place(output or RUNS / f"{name}-{datetime.now(UTC):%Y%m%d-%H%M%S-%f}")


def save(result: "Result", place: Path | None) -> tuple[Path | None, ConfigError | None]:
    """Where a result has been saved, or why not: what a long run found is shown all the same.

    With it is saved what the market did around its fills, which takes a pass over the data; an interrupt of that is raised when the rest has been saved.
    """
    try:
        try:
            _ = result.observed
        except KeyboardInterrupt:
            if place is not None:
                terminal.err.print(f"saved in {result.save(place)}, without markouts", soft_wrap=True)
            raise
        return (result.save(place) if place is not None else None), None
    except ConfigError as error:
        return None, error


def profile(strategy: Any, data: list[Path], settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What each stage of a run takes."""
    from tapeline.bench import stages  # noqa: PLC0415 - imports Numba

    terminal.err.print("profiling …", style="dim")
    return stages.plain(stages.profile(strategy, data, settings))


def show_result(result: "Result", place: Path | None, stages: list[dict[str, Any]] | None, *, as_json: bool) -> None:
    """Statistics, what is odd about the data, what the stages of the run took, if that was asked for, and where the result is."""
    if as_json:
        terminal.print_json({**result.to_dict(), "saved": str(place) if place else None, **({} if stages is None else {"profile": stages})})
        return
    from tapeline.check import odd_counters  # noqa: PLC0415 - reads with Numba

    if result.orders.height or result.fills.height:  # of nothing all metrics are dashes
        terminal.out.print(result.stats)
    odd = odd_counters(result.counters)
    if odd:
        terminal.out.print(tables.pairs_table(odd, "odd in the data (docs/ARCHITECTURE.md)"))
    terminal.out.print(_summary(result), soft_wrap=True)
    rejected = result.orders.filter(pl.col("status").cast(pl.String) == "rejected")["reason"].value_counts(sort=True)
    if rejected.height:
        reasons = ", ".join(f"{n:,} {reason}" for reason, n in rejected.iter_rows())
        terminal.out.print(f"orders rejected: {reasons} (docs/reference.md, Enumerations)", soft_wrap=True)
    if stages is not None:
        terminal.out.print(tables.records_table(stages, "processor time per record, in ns, of one thread (docs/performance.md)"))
    if place is not None:
        terminal.out.print(f"saved in {place}; tapeline report {place} makes a page of it", soft_wrap=True)


def _summary(result: "Result") -> str:
    manifest = result.manifest
    orders, fills = tables.counted(result.orders.height, "order"), tables.counted(result.fills.height, "fill")
    parts = [f"{orders}, {fills} and {result.signals.height:,} values of signals" if result.signals.height else f"{orders} and {fills}"]
    if manifest.get("records"):
        parts.append(f"from {manifest['records']:,} records")
    elif manifest.get("events") == 0:
        others = result.counters.get("records_other_instruments", 0)
        parts.append("from no records: " + (f"all {others:,} are of other instruments" if others else "the data is empty"))
    if manifest.get("seconds"):
        parts.append(f"in {tables.format_seconds(manifest['seconds'])}")
    if manifest.get("records_per_second"):
        parts.append(f"({manifest['records_per_second'] / 1e6:.2f} M records/s)")
    return " ".join(parts)


def write_report(output: Path, runs: list[Path]) -> dict[str, Any]:
    """Write the page of saved results, named as their directories; say where it is, and how large."""
    from tapeline.report import write_report as write  # noqa: PLC0415 - Plotly takes a second to import
    from tapeline.result import Result  # noqa: PLC0415 - reads with polars

    names = [end_of(run).name for run in runs]
    if len(set(names)) < len(names):
        names = [str(run) for run in runs]
    if len(set(names)) < len(names):
        raise ConfigError("report: the same run is named twice")
    with terminal.told_of_compiling():
        path = write(output, {name: Result.load(run) for name, run in zip(names, runs, strict=True)})
    return {"report": str(path.absolute()), "runs": len(runs), "bytes": path.stat().st_size}


def view(paths: list[Path], strategy: str | None, port: int, *, browser: bool, **settings: Any) -> None:
    """Serve the page of data, and perhaps a run on it, until interrupted."""
    try:
        from tapeline.viewer.server import listening, serve  # noqa: PLC0415 - of use here only, and not everybody has it
    except ModuleNotFoundError as error:
        raise ConfigError(f"tapeline view needs {error.name}, which is not installed: pip install 'tapeline[view]'") from error
    from tapeline.viewer.view import open_browser, opened  # noqa: PLC0415 - imports Numba

    with opened(paths, strategy, settings) as session, listening(port) as listener, contextlib.suppress(KeyboardInterrupt):  # it is how a viewer ends
        url = "http://{}:{}/".format(*listener.getsockname())
        terminal.out.print(f"{session.title}: {url} (Ctrl-C ends it)", soft_wrap=True)
        if browser:
            open_browser(url)
        serve(session, listener)


def show(pairs: Mapping[str, object], *, as_json: bool) -> None:
    """Names and values, as JSON or as a table."""
    if as_json:
        terminal.print_json(dict(pairs))
    else:
        terminal.out.print(tables.pairs_table(pairs))


def show_check(found: "Check") -> None:
    """What a check found, as tables."""
    times = pl.DataFrame(
        [(name, *(getattr(found.times, f"{name}_{end}") for end in ("first", "last"))) for name in ("ts_event", "ts_recv")],
        schema={"time, UTC": pl.String, "first": pl.Datetime("ns"), "last": pl.Datetime("ns")},
        orient="row",
    )
    gaps = pl.DataFrame(found.times.gaps, schema={"from": pl.Datetime("ns"), "to": pl.Datetime("ns"), "next record": pl.Int64}, orient="row")
    names = _names_of(found)
    symbols = pl.Series("symbol", [names[key] for key in found.crossed.select("instrument_id", "publisher_id").iter_rows()], pl.String)
    crossed = found.crossed.select(symbols, "from", "to", "events")
    gap = tables.format_seconds(found.times.gap_ns_min / 1e9)
    if not found.times.records:
        terminal.out.print("the data is empty: it has no records", style="yellow")
    terminal.out.print(tables.pairs_table({"records": found.times.records, **found.actions}, "records by action"))
    terminal.out.print(tables.frame_table(times))
    _show_instruments(found)
    for frame, title in ((gaps, f"gaps in ts_recv of {gap} and more"), (crossed, "locked or crossed")):
        terminal.out.print(tables.frame_table(_spans(frame.head(tables.LINES_MAX)), f"{title}: {frame.height:,}") if frame.height else f"{title}: none")
    _show_pre_opens(found.pre_opens, names)
    fills, first = found.fifo
    terminal.out.print(f"executions of resting orders: {fills:,}" + (f", of which {first / fills:.1%} hit the front of their queue" if fills else ""))
    terminal.out.print(tables.pairs_table(found.anomalies, "odd (docs/ARCHITECTURE.md)") if found.anomalies else "odd: nothing")
    if found.damage is not None:
        terminal.err.print(f"damaged: {found.damage}", soft_wrap=True, style="red")


def _names_of(found: "Check") -> dict[tuple[int, int], str]:
    """What books are called, by instrument and publisher: by their symbols, where these are known and each is of one book."""
    symbols = [one.symbol for one in found.instruments]
    return {(i.instrument_id, i.publisher_id): i.symbol if i.symbol and symbols.count(i.symbol) == 1 else str(i.instrument_id) for i in found.instruments}


def _spans(frame: pl.DataFrame) -> pl.DataFrame:
    """Times from and to with how long that is; a day is said once, so that a line fits into a terminal."""
    length = pl.Series("length", [tables.format_seconds(ns / 1e9) for ns in (frame["to"] - frame["from"]).dt.total_nanoseconds()], pl.String)
    same = pl.col("from").dt.date() == pl.col("to").dt.date()
    to = pl.when(same).then(pl.col("to").dt.strftime("%H:%M:%S%.6f")).otherwise(pl.col("to").dt.strftime("%Y-%m-%d %H:%M:%S%.6f"))
    return frame.with_columns(to.alias("to")).insert_column(frame.get_column_index("to") + 1, length).rename({"from": "from, UTC"})


def _show_instruments(found: "Check") -> None:
    """What `instruments=` and `tick_size` may be."""
    lines = [(one.symbol, str(one.instrument_id), format_price(one.tick / PRICE_SCALE)) for one in found.instruments]
    frame = pl.DataFrame(lines[: tables.LINES_MAX], schema=dict.fromkeys(("symbol", "id", "tick"), pl.String), orient="row")
    terminal.out.print(tables.frame_table(frame, f"instruments: {len(lines):,}") if lines else "instruments: none")


def _show_pre_opens(pre_opens: pl.DataFrame, names: Mapping[tuple[int, int], str]) -> None:
    """What a locked book says of the phase of trading, which a run knows from a status file only."""
    for line in pre_opens.head(tables.LINES_MAX).iter_rows(named=True):
        since, until = (None if line[name] is None else f"{line[name]:%Y-%m-%d %H:%M:%S}" for name in ("since", "to"))
        when = f"before {until}" if since is None else f"between {since} and {until}"
        text = f"{names[line['instrument_id'], line['publisher_id']]}: no trade {when} UTC, and a book that was locked or crossed: a pre-open or an auction"
        terminal.out.print(text, soft_wrap=True, style="yellow")
    if pre_opens.height:
        said = "a run knows such a phase from a status file (--status); without one, orders take from the book of it wherever that is not crossed"
        terminal.out.print(f"{said} (docs/assumptions.md, Phases)", soft_wrap=True, style="yellow")


def write_depth(output: Path, data: list[Path], **settings: Any) -> tuple[dict[str, Any], DataError | None]:
    """Stream the rows of `tapeline.depth` into a file; what was written, and the damage that ended it, if there was one."""
    _check_output(output)
    from tapeline.mbp import DepthReader  # noqa: PLC0415 - imports Numba

    with terminal.told_of_compiling():
        return _write(output, DepthReader(data, **settings))


def write_features(output: Path, data: list[Path], names: list[str] | None, **settings: Any) -> tuple[dict[str, Any], DataError | None]:
    """Stream the rows of `tapeline.features` into a file. `names`: of members of Feature, or file.py:Class for one's own; None: all of Feature."""
    _check_output(output)
    from tapeline.extraction import FeatureReader  # noqa: PLC0415 - imports Numba

    with terminal.told_of_compiling():
        return _write(output, FeatureReader(data, [_feature(name) for name in names] if names else None, **settings))


def _feature(name: str) -> Any:
    if ":" in name:
        return load.load_feature(name)()
    known = {member.lower(): feature for member, feature in Feature.__members__.items()}
    if name.lower() not in known:
        raise ConfigError(f"--feature {name}: there is no such feature; {meant(name.lower(), known, 'there are: ' + ', '.join(known))}")
    return known[name.lower()]


def _check_output(output: Path) -> None:
    if output.suffix not in (".parquet", ".csv"):
        raise ConfigError(f"-o {output}: expected a file that ends in .parquet or .csv")


def _write(output: Path, reader: "BookReader") -> tuple[dict[str, Any], DataError | None]:
    from polars.io.plugins import register_io_source  # noqa: PLC0415 - of use here only

    lines, damage = 0, None

    def frames(*_: Any) -> Iterator[pl.DataFrame]:
        nonlocal lines, damage
        try:
            for frame in reader.chunks():
                if interrupts.seen:
                    return
                lines += frame.height
                yield frame
        except DataError as error:
            damage = error

    stream = register_io_source(frames, schema=reader.empty.schema)
    sink = stream.sink_parquet if output.suffix == ".parquet" else stream.sink_csv
    try:
        with replacing(output) as partial, partial.open("wb") as file, Interrupts() as interrupts:  # Polars holds the main thread, and asks others for frames
            sink(file)
            interrupts.check()
    except pl.exceptions.PolarsError as error:
        raise ConfigError(f"{output}: cannot be written: {why(error)}") from error
    return {"output": str(output), "lines": lines, "columns": reader.empty.width}, damage


def make_dbn(output: Path, source: list[Path], progress: Callable[[Any], None], **settings: Any) -> dict[str, Any]:
    """Write other data as DBN, and say what is in it: of what was counted, all messages, and what is odd."""
    from tapeline.conversion import write_dbn  # noqa: PLC0415 - imports Numba

    with terminal.told_of_compiling():
        made = write_dbn(source, output, progress=progress, **settings)
    counters = made.pop("counters")
    return {**made, "instruments": len(made["instruments"])} | {name: n for name, n in counters.items() if n or name == "messages"}


def merge(output: Path, data: list[Path], progress: Callable[[Any], None]) -> dict[str, Any]:
    """Write one file of several, and say what is in it; ids that have lost their symbols, one by one."""
    from tapeline.conversion import merge as write  # noqa: PLC0415 - imports Numba

    with terminal.told_of_compiling():
        made = write(data, output, progress=progress)
    dropped = made.pop("symbols_dropped")
    return made | {f"without a symbol: {number}": " or ".join(symbols) for number, symbols in dropped.items()}


def make_tape(output: Path, data: list[Path], progress: Callable[[Any], None], **settings: Any) -> dict[str, Any]:
    """Write a tape, and say what is on it."""
    from tapeline.conversion import write_tape  # noqa: PLC0415 - imports Numba

    with terminal.told_of_compiling():
        made = write_tape(data, output, progress=progress, **settings)
    shown = {name: made[name] for name in ("output", "bytes", "events", "seconds")}
    return {**shown, "records": made["counters"]["records"], "instruments": len(made["instruments"])}


def run_bench(*, baseline: Path | None, **settings: Any) -> tuple["Report", list[dict[str, Any]] | None]:
    """Run the suite; what has changed against a baseline, if there is one."""
    from tapeline.bench.compare import changes  # noqa: PLC0415 - of use here only
    from tapeline.bench.suite import run_suite  # noqa: PLC0415 - imports Numba

    before = None
    if baseline is not None:
        try:
            before = json.loads(small_text(baseline))
            changes(before, before)  # before minutes are spent
        except (OSError, ValueError) as error:
            raise ConfigError(f"--compare {baseline}: cannot be read as JSON: {why(error) if isinstance(error, OSError) else error}") from error
        except (TypeError, KeyError, ZeroDivisionError) as error:
            raise ConfigError(f"--compare {baseline}: is not what `tapeline bench --json` prints") from error
    report = run_suite(**settings, tell=lambda what: terminal.err.print(what, style="dim"))
    return report, None if before is None else changes(before, vars(report))


def _show_timings(lines: list[dict[str, Any]]) -> None:
    """What was timed on one stream, and what the runs among it did, in tables that fit a terminal."""
    times = [line | {"M/s": line["per_second"] / 1e6, "x floor": line["floor_multiple"]} for line in lines]
    terminal.out.print(tables.records_table([{name: line[name] for name in ("name", "ns", "M/s", "x floor", "spread")} for line in times], "per record"))
    counted = {"orders": "orders_per_second", "fills": "fills_per_second", "callbacks": "callbacks_per_second", "strategy-events": "strategy_events_per_second"}
    runs = [line for line in lines if "orders_per_second" in line]
    did = [{"name": line["name"], "whole call, ns": line["whole_ns"]} | {what: line[name] / 1e6 for what, name in counted.items()} for line in runs]
    terminal.out.print(tables.records_table(did, "runs with their frames, per record; what they did, in millions per second"))


def show_bench(report: "Report", changes: list[dict[str, Any]] | None) -> None:
    """The tables of a measurement."""
    out = terminal.out
    for stream in report.streams:
        mix = " ".join(f"{name} {share:.1%}" for name, share in stream["mix"].items())
        warm = "not known" if stream["page_cache"] is None else f"{stream['page_cache']:.0%}"
        text = f"{stream['name']}: {stream['records']:,} records ({mix}), {stream['gap_ms_mean']:.3g} ms apart, {warm} of them in the page cache"
        out.print(text, soft_wrap=True)
        _show_timings([line for line in report.results if line["stream"] == stream["name"]])
    pairs = [{name: line[name] for name in ("name", "before_ns", "after_ns", "times_faster", "expected", "equal")} for line in report.before_after]
    out.print(tables.records_table(pairs, "faults of the old kind, before and after"))
    if report.machine["cpu_share"] < CPU_SHARE_MIN:
        out.print(
            f"others had this machine's cores, too: this process got {report.machine['cpu_share']:.0%} of one. Times mean little; measure again.", style="red"
        )
    out.print(tables.records_table(report.criteria, f"targets, on this machine, now (load average {report.machine['load_average']:.1f})"))
    out.print(tables.records_table(report.checks, "checks"))
    if changes is not None:
        out.print(tables.records_table(changes, "against the baseline"))


def synthesise(output: Path, **shape: Any) -> dict[str, Any]:
    """Write a simulated session of this shape (the fields of SynthConfig), and say how fast that was."""
    if not output.name.endswith((".dbn", ".dbn.zst")):
        raise ConfigError(f"-o {output}: expected a file that ends in .dbn or .dbn.zst")
    from tapeline.feeds.synth import SynthConfig, write_synth  # noqa: PLC0415 - imports Numba

    config = SynthConfig(**shape)
    start = perf_counter()
    with terminal.told_of_compiling():
        records = write_synth(output, config)
    seconds = perf_counter() - start
    return {"output": str(output), "records": records, "bytes": output.stat().st_size, "seconds": seconds, "records_per_second": round(records / seconds)}
