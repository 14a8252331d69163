"""The suite: which work is timed on which stream, what is checked, and which targets are met."""

import os
import platform
import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tapeline.backtest import Backtest
from tapeline.bench import before_after
from tapeline.bench.streams import FEW_WAKES, TICK, Stream, streams, tiled
from tapeline.bench.timing import Candidate, Timing, alternate
from tapeline.book_reader import BookReader
from tapeline.config import Fees, Latency
from tapeline.extraction import FeatureReader
from tapeline.feeds import zstd
from tapeline.feeds.dbn import CHUNK_BYTES, DbnInput, records
from tapeline.files import shipped
from tapeline.inputs import cores, cores_used, open_input, reader_of, registry
from tapeline.load import load_strategy
from tapeline.manifest import versions
from tapeline.mbp import DepthReader
from tapeline.reference import depth_rows, feature_rows
from tapeline.result import Result
from tapeline.verify import compare, verify

RECORDS, RECORDS_QUICK = 2_000_000, 60_000
ROUNDS, ROUNDS_QUICK = 5, 2
CHECKED_RECORDS: Final = 4_000
ROWS_MANY: Final = 1000
ROWS_MANY_SHARE: Final = 20
"""A thousand rows are timed on a twentieth of the records, or 20,000."""
_JUDGED: Final = {"live-10k": "", FEW_WAKES: ", few wakes"}
"""The streams that targets are for, and what their names end in."""
_Target = tuple[str, float | None, str, float, bool]
SETTINGS: Final[dict[str, Any]] = {"tick_size": TICK, "multiplier": 50, "latency": Latency(entry="100us", response="100us"), "fees": Fees(maker=0.2, taker=1.2)}


@dataclass(frozen=True)
class Report:
    """What was measured, as JSON has it."""

    machine: dict[str, Any]
    streams: list[dict[str, Any]]
    results: list[dict[str, Any]]
    before_after: list[dict[str, Any]]
    criteria: list[dict[str, Any]]
    checks: list[dict[str, Any]]

    @property
    def is_right(self) -> bool:
        """Whether everything that was checked held."""
        return all(check["holds"] for check in self.checks)


def strategy(name: str, **parameters: Any) -> Any:
    """One of those that are timed."""
    return load_strategy(f"{shipped('benchmarks/strategies.py')}:{name}")(**parameters)


def run_suite(*, quick: bool = False, n_records: int | None = None, real: Path | None = None, tell: Callable[[str], None] = lambda _: None) -> Report:
    """Make the streams, check, time, and say what was met. `real`: a session that is tiled to the asked number of records besides."""
    n = n_records or (RECORDS_QUICK if quick else RECORDS)
    rounds = ROUNDS_QUICK if quick else ROUNDS
    with tempfile.TemporaryDirectory(prefix="tapeline-bench-") as name:
        folder = Path(name)
        made = streams(folder, n, quick=quick)
        if real is not None:
            made["esh4-tiled"] = tiled(real, folder, n)
        checks: list[dict[str, Any]] = []
        results: list[dict[str, Any]] = []
        described = []
        for stream in made.values():
            tell(f"{stream.name}: making {n:,} records")
            stream.make(all_kinds=stream.name in _JUDGED or stream.name == "esh4-tiled")
            if stream.name == "live-10k":
                tell(f"{stream.name}: checking against the reference")
                checks += check_prefix(stream)
            tell(f"{stream.name}: timing")
            timings, kept = time_stream(stream, rounds)
            checks += check_results(kept)
            described.append(stream.describe())
            results += [{"stream": stream.name, **timing.to_dict()} for timing in timings.values()]
        tell("before and after")
        first = made["live-10k"]
        pairs = [before_after.measure(pair, rounds) for pair in before_after.pairs(first, n // 4)]
        checks += [{"name": f"{line['name']}: before and after give the same", "holds": line["equal"]} for line in pairs]
        share = statistics.median(line["cpu_share"] for line in results)
        machine = {
            "cpu_share": share,
            "platform": platform.platform(),
            "cores": os.cpu_count(),
            "load_average": os.getloadavg()[0],
            "versions": versions(),
            "rounds": rounds,
        }
        return Report(machine, described, results, pairs, criteria(results), checks)


class Work:
    """What can be timed on a stream. Every method gives a candidate and the number of records in it; results of runs are kept."""

    def __init__(self, stream: Stream) -> None:
        """Nothing was run yet."""
        self.stream = stream
        self.kept: dict[str, Result] = {}

    def normalise(self) -> tuple[Candidate, int]:
        """DBN to tape events."""

        def work() -> None:
            source = open_input(self.stream.dbn)
            for _ in reader_of(source, registry(source, tick_size=TICK, multiplier=1.0), lambda _: None).chunks():
                pass

        return work, self.stream.n

    def decompress(self) -> tuple[Candidate, int]:
        """Zstandard alone."""

        def work() -> None:
            for _ in zstd.chunks(self.stream.zst, CHUNK_BYTES):
                pass

        return work, self.stream.n

    def replay(self, data: Path) -> tuple[Candidate, int]:
        """The book, and its BBO after every event that changed it."""

        def work() -> None:
            for _ in DepthReader(data, 1, tick_size=TICK).runs():
                pass

        return work, self.stream.n

    def frames(self, reader: Callable[..., BookReader], *args: Any) -> tuple[Candidate, int]:
        """Rows as polars frames."""

        def work() -> None:
            for _ in reader(self.stream.dbn, *args, tick_size=TICK).chunks():
                pass

        return work, self.stream.n

    def run(self, name: str, data: Path, rows: Sequence[Any], n: int | None = None, threads: int = 1) -> tuple[Candidate, int]:
        """A backtest, from reading to journal, on one core if nothing else is said."""

        def work() -> float:
            self.kept[name] = result = Backtest(data, threads=threads, **SETTINGS).run(*rows)
            return float(result.manifest["seconds"])

        return work, n or self.stream.n


def candidates(work: Work) -> dict[str, tuple[Candidate, int]]:
    """What is timed on a stream: books on all, runs where there is one instrument, everything where there are all kinds of files."""
    stream = work.stream
    chosen = {"normalise": work.normalise(), "replay": work.replay(stream.dbn)}
    if stream.config is None or stream.config.instruments == 1:
        chosen["pipeline"] = work.run("pipeline", stream.dbn, [strategy("Maker")])
        chosen["pipeline, all wakes"] = work.run("pipeline, all wakes", stream.dbn, [strategy("RestlessMaker")])
    if stream.zst.exists():
        chosen["decompress"] = work.decompress()
        chosen["replay, zst"] = work.replay(stream.zst)
        chosen["pipeline, zst"] = work.run("pipeline, zst", stream.zst, [strategy("Maker")], threads=cores_used())
    if stream.tape.exists():
        if cores_used() > 1:
            chosen["pipeline, 2 threads"] = work.run("pipeline, 2 threads", stream.dbn, [strategy("Maker")], threads=2)
        chosen["replay, tape"] = work.replay(stream.tape)
        chosen["pipeline, tape"] = work.run("pipeline, tape", stream.tape, [strategy("Maker")])
        chosen["4 strategies"] = work.run("4 strategies", stream.dbn, [strategy(name) for name in ("Maker", "Taker", "Follower", "Sleeper")])
        rows = [strategy("PlainMaker", position_max=10 + k) for k in range(64)]
        chosen["64 rows"] = work.run("64 rows", stream.dbn, rows)
        if cores() > 2:
            chosen["64 rows, all cores"] = work.run("64 rows, all cores", stream.dbn, rows, threads=cores())
        few = max(stream.n // ROWS_MANY_SHARE, min(stream.n, 20_000))
        chosen["1000 rows"] = work.run("1000 rows", stream.prefix(few), [strategy("PlainMaker", position_max=10 + k % 50) for k in range(ROWS_MANY)], few)
        chosen["features, all"] = work.frames(FeatureReader)
        chosen["depth rows, 10 levels"] = work.frames(DepthReader, 10)
    return chosen


def time_stream(stream: Stream, rounds: int) -> tuple[dict[str, Timing], dict[str, Result]]:
    """Time everything on one stream, and say what runs did meanwhile."""
    work = Work(stream)
    timings = alternate(candidates(work), stream.floor, stream.n, rounds)
    for name, result in work.kept.items():
        timing, counters = timings[name], result.counters
        seconds = timing.ns * timing.n / 1e9
        rows = len(result.manifest["strategies"])
        per_second = {"orders": result.orders.height, "fills": result.fills.height, "callbacks": counters["callbacks"], "strategy_events": timing.n * rows}
        timing.extra |= {f"{what}_per_second": round(count / seconds) for what, count in per_second.items()}
        timing.extra["callbacks_per_event"] = round(counters["callbacks"] / rows / max(counters["events"], 1), 4)
    return timings, work.kept


def check_prefix(stream: Stream) -> list[dict[str, Any]]:
    """Books, features and fills of the first records, against the reference."""
    path = stream.prefix(min(CHECKED_RECORDS, stream.n))
    source = DbnInput([path])
    known = registry(source, tick_size=TICK, multiplier=1.0)
    book, wanted = DepthReader(path, 1, tick_size=TICK), list(depth_rows(records(source), known, 1))
    got = [tuple(row) for frame in book.chunks() for row in frame.select("bid_px_00", "bid_sz_00", "ask_px_00", "ask_sz_00").fill_null(2**63 - 1).iter_rows()]
    books = got == [(row.bids[0].price, row.bids[0].size, row.asks[0].price, row.asks[0].size) for row in wanted]
    rows = list(feature_rows(records(source), registry(source, tick_size=TICK, multiplier=1.0)))
    names = FeatureReader(path, tick_size=TICK)
    values = [row[5:] for frame in names.chunks() for row in frame.iter_rows()]
    features = [[repr(value) for value in row] for row in values] == [[repr(value) for value in row.values] for row in rows]
    runs = verify([strategy(name) for name in ("Maker", "RestlessMaker", "Taker", "Follower")], path, **SETTINGS)
    n = f"the first {min(CHECKED_RECORDS, stream.n):,} records of {stream.name}"
    return [
        {"name": f"books are the reference's on {n}", "holds": books},
        {"name": f"features are the reference's on {n}", "holds": features},
        {"name": f"orders, fills and accounts are the reference's on {n}", "holds": runs.is_equal},
    ]


def check_results(kept: dict[str, Result]) -> list[dict[str, Any]]:
    """What was timed gave the same from every kind of file, and on any number of threads."""
    pairs = [("pipeline", name) for name in ("pipeline, tape", "pipeline, zst", "pipeline, 2 threads")] + [("64 rows", "64 rows, all cores")]
    return [{"name": f"{name} gives what {first} gives", "holds": compare(kept[first], kept[name]).is_equal} for first, name in pairs if name in kept]


def targets(of: Callable[[str, str, str], float | None], stream: str, suffix: str) -> list[_Target]:
    """Name, measured, unit, wanted, and whether more is better: of all targets that are for a stream."""
    pipeline, decompression = of(stream, "pipeline", "per_second"), of(stream, "decompress", "per_second")
    compressed, tape, dbn = (of(stream, name, "per_second") for name in ("replay, zst", "replay, tape", "replay"))
    lines: list[_Target] = [
        *((f"full pipeline, {wanted} M records/s", pipeline, "records/s, at least", wanted * 1e6, True) for wanted in (10, 15, 17, 18)),
        ("full pipeline on two threads", of(stream, "pipeline, 2 threads", "per_second"), "records/s, at least", 18e6, True),
        ("full pipeline, woken by each feature", of(stream, "pipeline, all wakes", "per_second"), "records/s, at least", 18e6, True),
        ("full pipeline against the floor", of(stream, "pipeline", "floor_multiple"), "x floor, at most", 10.0, False),
        ("replay, 10k live orders", of(stream, "replay", "floor_multiple"), "x floor, at most", 4.5, False),
        ("4 strategies", of(stream, "4 strategies", "per_second"), "records/s, at least", 18e6, True),
        ("4 strategies against the floor", of(stream, "4 strategies", "floor_multiple"), "x floor, at most", 18.0, False),
        ("64 rows", of(stream, "64 rows", "strategy_events_per_second"), "strategy-events/s, at least", 400e6, True),
        (".dbn.zst against decompression alone", compressed / decompression if compressed and decompression else None, "part, at least", 0.9, True),
        ("tape replay against DBN replay", tape / dbn if tape and dbn else None, "times as fast, at least", 1.0, True),
        ("feature extraction, all features", of(stream, "features, all", "per_second"), "records/s, at least", 15e6, True),
    ]
    return [(name + suffix, measured, unit, wanted, more) for name, measured, unit, wanted, more in lines]


def criteria(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Name, measured, wanted, met: of all targets whose work was timed."""
    by = {(line["stream"], line["name"]): line for line in results}

    def of(stream: str, name: str, key: str) -> float | None:
        line = by.get((stream, name))
        return None if line is None else line.get(key)

    lines = [line for stream, suffix in _JUDGED.items() for line in targets(of, stream, suffix)]
    lines.append(("replay, 1M live orders", of("live-1m", "replay", "floor_multiple"), "x floor, at most", 6.0, False))
    return [
        {"name": name, "measured": round(measured, 4), "wanted": wanted, "unit": unit, "met": measured >= wanted if more else measured <= wanted}
        for name, measured, unit, wanted, more in lines
        if measured is not None
    ]
