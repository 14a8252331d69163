"""Backtest: the settings of a run, and the plain Python loop over chunks that drives either engine."""

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Self

import numpy as np

from tapeline.config import Fees, FillRules, Latency, Limits, Row, RowSpec, Venue
from tapeline.delays import duration_ns
from tapeline.errors import ConfigError, DataError, TapelineError
from tapeline.feeds.dbn import DbnInput, records
from tapeline.feeds.definitions import instruments_of, read_definitions
from tapeline.frames import Row as ResultRow
from tapeline.instruments import Instruments
from tapeline.manifest import make_manifest
from tapeline.result import Result
from tapeline.schema import Journals
from tapeline.strategy import Strategy

Data = str | Path | Sequence[str | Path]
PROGRESS_EVERY_S: Final = 0.1


@dataclass(frozen=True)
class Progress:
    """How far a run is; given to the `progress` callable about ten times a second."""

    records: int
    bytes_done: int
    """Of all input bytes; of compressed files, decompressed bytes."""
    bytes_total: int | None
    """None where it is not known beforehand."""
    seconds: float
    compiling: bool = False


def paths_of(data: Data) -> list[Path]:
    """One or several files as a list. Raises ConfigError if there is none."""
    paths = [Path(data)] if isinstance(data, str | Path) else [Path(p) for p in data]
    if not paths:
        raise ConfigError("data: expected at least one file")
    return paths


def registry(source: DbnInput, *, tick_size: Any = None, definitions: Any = None, instruments: Any = None, multiplier: float | None = None) -> Instruments:
    """The instruments of an input. `definitions`: a definition file, or several."""
    known: dict[Any, Any] = {}
    for path in paths_of(definitions) if definitions is not None else []:
        known |= read_definitions(path)
    return instruments_of(source, tick_size=tick_size, definitions=known, multiplier=multiplier, only=instruments)


class Backtest:
    """Settings of a run over some data; `run` replays it for any number of strategies at once."""

    def __init__(  # noqa: PLR0913 - one keyword per setting
        self,
        data: Data,
        *,
        tick_size: str | float | None = None,
        definitions: Data | None = None,
        instruments: Sequence[str | int] | None = None,
        multiplier: float | None = None,
        latency: Latency | None = None,
        fees: Fees | None = None,
        rules: FillRules | None = None,
        limits: Limits | None = None,
        equity_every: str | int = "1s",
        engine: Literal["compiled", "reference"] = "compiled",
    ) -> None:
        """Set up a run.

        `data`: DBN files (`.dbn`, `.dbn.zst`) in order. `tick_size`, or `definitions` (DBN definition files), say what the order tick is; else it is inferred
        from all prices, which reads the input twice. `instruments`: symbols or ids to keep, in the order of their index. `multiplier`: currency per price unit
        and lot. `equity_every`: how often accounts are sampled. `engine="reference"` runs the readable pure-Python engine: a thousand times slower, with equal
        results.

        Raises ConfigError and DataError on settings and files that make no sense.
        """
        if engine not in ("compiled", "reference"):
            raise ConfigError(f"engine={engine!r}: expected 'compiled' or 'reference'")
        self.paths = paths_of(data)
        self.venue = Venue(latency=latency or Latency(), fees=fees or Fees(), rules=rules or FillRules(), limits=limits or Limits())
        self.engine = engine
        self.equity_every_ns = duration_ns(equity_every, "equity_every")
        if self.equity_every_ns == 0:
            raise ConfigError("equity_every=0: expected a duration such as '1s'")
        self._instruments: dict[str, Any] = {"tick_size": tick_size, "definitions": definitions, "instruments": instruments, "multiplier": multiplier}
        self._latency_given = latency is not None

    def run(self, *strategies: Any, progress: Callable[[Progress], None] | None = None) -> Result:
        """Replay the data for these strategies: instances of Strategy subclasses, arrays of rows (`Class.array(n, …)`), lists of them, or `tl.Row`s.

        A run leaves the instances as they are. An interrupt (Ctrl-C) ends it early, with all that was recorded: `result.manifest["interrupted"]`.
        Raises DataError where the input is damaged; its `result` attribute has the Result of everything before.
        """
        rows = self._rows(strategies)
        run = _Run(self, rows, progress)
        return run.result()

    def _rows(self, strategies: Sequence[Any]) -> list[RowSpec]:
        rows = [spec for given in strategies for spec in self._specs(given)]
        if not rows:
            raise ConfigError("run(): expected at least one strategy")
        if len({type(row.strategy) for row in rows}) > 64:
            raise ConfigError("run(): at most 64 different strategy classes; parameter sets of one class do not count")
        return rows

    def _specs(self, given: Any) -> Iterator[RowSpec]:
        row = given if isinstance(given, Row) else Row(given)
        strategy = row.strategy
        if isinstance(strategy, Strategy):
            own = getattr(type(strategy), "latency", None)
            default = own if isinstance(own, Latency) and not self._latency_given else self.venue.latency
            venue = Venue(
                latency=row.latency or default,
                fees=row.fees or self.venue.fees,
                rules=row.rules or self.venue.rules,
                limits=row.limits or self.venue.limits,
            )
            yield RowSpec(strategy, venue, row.label or type(strategy).__name__)
        elif isinstance(strategy, list | tuple | np.ndarray) and not isinstance(strategy, np.void):
            for one in strategy:
                yield from self._specs(Row(one, row.latency, row.fees, row.rules, row.limits, row.label) if not isinstance(one, Row) else one)
        else:
            what = f"the class {strategy.__name__} itself: make an instance, {strategy.__name__}(…)" if isinstance(strategy, type) else repr(strategy)
            raise ConfigError(f"run(): expected instances of Strategy subclasses, got {what}")

    def settings(self) -> dict[str, Any]:
        """What was given, for the manifest."""
        return {**self._instruments, "engine": self.engine, "equity_every_ns": self.equity_every_ns, "venue": self.venue}

    def open(self) -> tuple[DbnInput, Instruments]:
        """The input, and its instruments."""
        source = DbnInput(self.paths)
        return source, registry(source, **self._instruments)


class _Interrupts:
    """Ctrl-C while the engine runs: the first is looked at between chunks, lest tables are left half changed; a second one raises at once."""

    def __init__(self) -> None:
        self.seen = False
        self._before: Any = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _note(self, *_: object) -> None:
        if self.seen:
            raise KeyboardInterrupt
        self.seen = True

    def check(self) -> None:
        """Raise what was noted."""
        if self.seen:
            raise KeyboardInterrupt


class _Run:
    """One run: counts, times, and turns whatever ends it into a Result."""

    def __init__(self, backtest: Backtest, rows: list[RowSpec], progress: Callable[[Progress], None] | None) -> None:
        self._backtest = backtest
        self._rows = rows
        self._result_rows = [ResultRow.of(row) for row in rows]
        self._progress = progress
        self._interrupted = False
        self._damage: DataError | None = None
        self._source, self._instruments = backtest.open()
        self._bytes_total = None if any(f.is_compressed for f in self._source.files) else sum(path.stat().st_size for path in backtest.paths)
        self._started = time.perf_counter()
        self._reported = 0.0

    def result(self) -> Result:
        """Run, and make the result."""
        journals = self._compiled() if self._backtest.engine == "compiled" else self._reference()
        seconds = time.perf_counter() - self._started
        manifest = make_manifest(
            data=self._backtest.paths,
            settings=self._backtest.settings(),
            rows=self._result_rows,
            instruments=self._instruments.known,
            counters=journals.counters,
            seconds=seconds,
            interrupted=self._interrupted,
            error=None if self._damage is None else str(self._damage),
        )
        result = Result.from_journals(journals, self._instruments.known, self._result_rows, manifest)
        if self._damage is not None:
            self._damage.result = result
            raise self._damage
        return result

    def _tell(self, n_records: int, n_bytes: int, *, compiling: bool = False) -> None:
        now = time.perf_counter()
        if self._progress is not None and (compiling or now - self._reported >= PROGRESS_EVERY_S):
            self._reported = now
            self._progress(Progress(n_records, n_bytes, self._bytes_total, now - self._started, compiling))

    def _compiled(self) -> Journals:
        from tapeline.engine.session import Session  # noqa: PLC0415 - the compiler is only needed here
        from tapeline.tape.reader import TapeReader  # noqa: PLC0415

        session = Session(self._rows, several=self._instruments.several, equity_every_ns=self._backtest.equity_every_ns)
        if not session.is_compiled:
            self._tell(0, 0, compiling=True)
            if self._progress is None:
                sys.stderr.write("tapeline: compiling the strategies; the next start with them is immediate\n")
        session.compile()
        reader = TapeReader(self._source, self._instruments, session.open)
        self._started = time.perf_counter()
        with _Interrupts() as interrupts:
            try:
                for n, span in reader.chunks():
                    session.chunk(reader.events_address, n)
                    self._tell(int(reader.reader.records), int(reader.reader.records) * span.stride)
                    interrupts.check()
            except DataError as damage:
                self._damage = damage
            except KeyboardInterrupt:
                self._interrupted = True
            except TapelineError:
                raise
            except Exception as error:
                error.add_note(
                    f"A strategy raised it in a callback, after {int(reader.reader.records):,} records. Compiled code does not know its lines: "
                    "engine='reference' (--engine reference) raises the same with a traceback."
                )
                raise
            session.finish()
        return Journals(**session.journals(), counters=reader.counters | session.counters)

    def _reference(self) -> Journals:
        from tapeline.reference import run  # noqa: PLC0415 - a plain engine for those who ask for it

        interrupts = _Interrupts()

        def chunks() -> Iterator[tuple[Any, bool]]:
            n = 0
            try:
                for run_of_records, is_last in records(self._source):
                    for first in range(0, max(len(run_of_records), 1), 4096):
                        part = run_of_records[first : first + 4096]
                        yield part, is_last and first + 4096 >= len(run_of_records)
                        n += len(part)
                        self._tell(n, n * 56)
                        interrupts.check()
            except DataError as damage:
                self._damage = damage
            except KeyboardInterrupt:
                self._interrupted = True

        with interrupts:
            try:
                journals = run(chunks(), self._instruments, self._rows, self._backtest.equity_every_ns)
            except DataError as damage:
                self._damage, journals = damage, damage.result
        journals.counters["records_skipped"] = self._source.records_skipped
        return journals


def count(data: Data, **instruments: Any) -> dict[str, int]:
    """Counters of the normaliser over an input: records by action, anomalies. `instruments`: as in Backtest.

    Raises DataError where the input is damaged; its `counters` attribute has the counts of everything before.
    """
    from tapeline.tape.reader import TapeReader  # noqa: PLC0415 - imports Numba

    source = DbnInput(paths_of(data))
    instruments.setdefault("multiplier", 1.0)  # no money is counted
    reader = TapeReader(source, registry(source, **instruments), lambda _: None)
    try:
        for _ in reader.chunks():
            pass
    except DataError as damage:
        damage.counters = reader.counters  # type: ignore[attr-defined]
        raise
    return reader.counters
