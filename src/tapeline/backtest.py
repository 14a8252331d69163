"""Backtest: the settings of a run, and the plain Python loop over chunks that drives either engine."""

import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from tapeline import jit, notebook
from tapeline.config import Fees, FeesGiven, FillRules, Latency, Limits, Row, RowSpec, Venue, check_kinds
from tapeline.delays import Duration, duration_ns
from tapeline.errors import ConfigError, DataError, TapelineError
from tapeline.feeds.dbn import DbnInput, records
from tapeline.frames import Row as ResultRow
from tapeline.heat import Time
from tapeline.inputs import Data, Input, cores, open_input, order_ids, paths_of, reader_of, registry
from tapeline.instruments import Instruments, Multiplier, TickSize
from tapeline.interrupts import Interrupts
from tapeline.keywords import checked
from tapeline.manifest import fingerprint, make_manifest
from tapeline.result import Result
from tapeline.schema import Journals
from tapeline.stats.days import DayStart
from tapeline.stderr import say
from tapeline.strategy import Strategy
from tapeline.tables import listed
from tapeline.window import Window

if TYPE_CHECKING:
    from tapeline.config import Strategies

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


class Backtest:
    """Settings of a run over some data; `run` replays it for any number of strategies at once."""

    @checked
    def __init__(  # noqa: PLR0913 - one keyword per setting
        self,
        data: Data,
        *,
        tick_size: TickSize | None = None,
        definitions: Data | None = None,
        status: Data | None = None,
        instruments: Sequence[str | int] | None = None,
        multiplier: Multiplier | None = None,
        exclude_orders: Iterable[int] | None = None,
        feed_time: Literal["received", "sent"] | None = None,
        latency: Latency | None = None,
        fees: FeesGiven | None = None,
        rules: FillRules | None = None,
        limits: Limits | None = None,
        start: Time | None = None,
        end: Time | None = None,
        equity_every: Duration = "1s",
        day_starts: str | None = None,
        explain: bool = False,
        engine: Literal["compiled", "reference"] = "compiled",
        threads: int | None = None,
    ) -> None:
        """Set up a run.

        `data`: DBN files (`.dbn`, `.dbn.zst`) in order, or a tape. `tick_size`, or `definitions` (DBN definition files), say what the order tick is; else it is
        inferred from all prices, which reads the input twice. `status`: DBN status files: when the market is in an auction, halted or closed. `instruments`:
        symbols or ids to keep, in the order of their index. `multiplier`: currency per price unit and lot. Where instruments differ,
        `tick_size={"ESH4": 0.25, "CLH4": 0.01}`, and `multiplier` likewise, by symbol or id, or both from `definitions`.
        `latency`, `fees`, `rules` (what a fill assumes) and `limits`: a tl.Latency, tl.Fees, tl.FillRules, tl.Limits for all rows that have none of their own
        (tl.Row); without: a class's own latency, or none, no fees, all rules, no limit but one of 64 live orders a row. Fees that differ by instrument name
        each of the run: `fees={"ESH4": tl.Fees(…), "NQH4": tl.Fees(…)}`.
        `exclude_orders`: ids of orders to take out of the tape, those that were one's own (see `tl.replay_orders`). `feed_time`: what `Latency(feed=…)` is
        added to: the time at which the recorder received a record (`ts_recv`), or the one at which the venue sent it.
        `start`, `end`: a window of time: UTC text such as "2023-12-26T14:30", datetimes, or ns. Until `start` strategies sleep, while books, features and what
        is on its way to them go on as ever; nothing that was received at or after `end` is read. `equity_every`: how often accounts are sampled.
        `day_starts`: when a day of trading begins, such as "17:00 America/Chicago", for statistics per day and what is annualised; default midnight, UTC.
        `explain`: record what happens to the queue in front of each order, for `result.explain`. `engine="reference"` runs the readable pure-Python engine: a
        thousand times slower, with equal results.
        `threads`: at most so many, as many as there are cores by default, with the same results. From two on DBN is normalised on one of them; from three on
        rows are shared out among the others, eight or more to each.

        Raises ConfigError and DataError on settings and files that make no sense.
        """
        if engine not in ("compiled", "reference"):
            raise ConfigError(f"engine={engine!r}: expected 'compiled' or 'reference'")
        self.paths = paths_of(data)
        check_kinds(latency=latency, fees=fees, rules=rules, limits=limits)
        self.venue = Venue(latency=latency or Latency(), fees=Fees() if fees is None else fees, rules=rules or FillRules(), limits=limits or Limits())
        if threads is not None and (isinstance(threads, bool) or not isinstance(threads, int | np.integer) or threads < 1):
            raise ConfigError(f"threads={threads!r}: expected a whole number from 1 on")
        self.engine = engine
        self.threads = threads or cores()
        self.explain = explain
        self.window = Window.of(start, end)
        DayStart.of(day_starts)  # if it makes no sense, this is the time to say so
        self.day_starts = day_starts
        self.equity_every_ns = duration_ns(equity_every, "equity_every")
        if self.equity_every_ns == 0:
            raise ConfigError("equity_every=0: expected a duration such as '1s'")
        self._instruments: dict[str, Any] = {"tick_size": tick_size, "definitions": definitions, "instruments": instruments, "multiplier": multiplier}
        if exclude_orders is not None:
            self._instruments["exclude_orders"] = sorted(order_ids(exclude_orders))  # as a manifest keeps it
        for name, value in {"status": status, "feed_time": feed_time}.items():
            if value is not None:
                self._instruments[name] = value
        self._latency_given = latency is not None

    def run(self, *strategies: "Strategies", progress: Callable[[Progress], None] | None = None) -> Result:
        """Replay the data for these strategies: instances of Strategy subclasses, arrays of rows (`Class.array(size=[…])`), lists of them, or `tl.Row`s.

        A run leaves the instances as they are. An interrupt (Ctrl-C) ends it early, with all that was recorded: `result.manifest["interrupted"]`; where a
        callback never returns, a second one ends the process.
        Raises DataError where the input is damaged; its `result` attribute has the Result of everything before.
        """
        return _Run(self, self._rows(strategies), progress).result()

    def _rows(self, strategies: Sequence[Any]) -> list[RowSpec]:
        rows = [spec for given in strategies for spec in self._specs(given)]
        if not rows:
            raise ConfigError("run(): expected at least one strategy")
        classes = {type(row.strategy) for row in rows}
        if len(classes) > 64:
            raise ConfigError("run(): at most 64 different strategy classes; parameter sets of one class do not count")
        from tapeline.uses import check_class  # noqa: PLC0415 - imports the runner, which no setting needs

        for cls in classes:
            check_class(cls)
        return rows

    def _specs(self, given: Any) -> Iterator[RowSpec]:
        row = given if isinstance(given, Row) else Row(given)
        strategy = row.strategy
        if isinstance(strategy, Strategy):
            own = getattr(type(strategy), "latency", None)
            default = own if isinstance(own, Latency) and not self._latency_given else self.venue.latency
            venue = Venue(
                latency=row.latency or default,
                fees=self.venue.fees if row.fees is None else row.fees,
                rules=row.rules or self.venue.rules,
                limits=row.limits or self.venue.limits,
            )
            yield RowSpec(strategy, venue, row.label or type(strategy).__name__)
        elif isinstance(strategy, list | tuple | np.ndarray):
            for one in strategy:
                yield from self._specs(Row(one, row.latency, row.fees, row.rules, row.limits, row.label) if not isinstance(one, Row) else one)
        else:
            what = f"the class {strategy.__name__} itself: make an instance, {strategy.__name__}(…)" if isinstance(strategy, type) else repr(strategy)
            raise ConfigError(f"run(): expected instances of Strategy subclasses, got {what}")

    def settings(self) -> dict[str, Any]:
        """What was given, for the manifest; files by their whole paths, since a saved result may be read elsewhere."""
        files = {name: [path.absolute() for path in paths_of(self._instruments[name])] for name in ("definitions", "status") if self._instruments.get(name)}
        window = self.window._asdict()
        how = {"engine": self.engine, "explain": self.explain, "equity_every_ns": self.equity_every_ns, "day_starts": self.day_starts, "venue": self.venue}
        return {**self._instruments, **files, **window, **how}

    def open(self, rows: Sequence[RowSpec] = ()) -> tuple[Input, Instruments, list[RowSpec]]:
        """The input, its instruments, and the rows of a run with fees by the instruments' keys, where they were given by name."""
        source = open_input(self.paths)
        named = {id(row.venue.fees): row.venue.fees for row in rows if not isinstance(row.venue.fees, Fees)}
        instruments = registry(source, **self._instruments, fees=list(named.values()))
        by_key = dict(zip(named, instruments.fees, strict=True))
        return source, instruments, [row.paying(by_key.get(id(row.venue.fees), row.venue.fees)) for row in rows]


class _Run:
    """One run: counts, times, and turns whatever ends it into a Result."""

    def __init__(self, backtest: Backtest, rows: list[RowSpec], progress: Callable[[Progress], None] | None) -> None:
        self._backtest = backtest
        self._result_rows = [ResultRow.of(row) for row in rows]  # as they were given
        self._progress = progress or notebook.progress()
        self._interrupted = False
        self._damage: DataError | None = None
        self._source, self._instruments, self._rows = backtest.open(rows)
        self._files = [fingerprint(path.absolute()) for path in backtest.paths]  # now: they may change, or vanish, while they are read
        self._bytes_total = (
            None if isinstance(self._source, DbnInput) and any(f.is_compressed for f in self._source.files) else sum(file["bytes"] for file in self._files)
        )
        self._started = time.perf_counter()
        self._reported = 0.0

    def result(self) -> Result:
        """Run, and make the result."""
        journals = self._compiled() if self._backtest.engine == "compiled" else self._reference()
        seconds = time.perf_counter() - self._started
        manifest = make_manifest(
            data=self._files,
            settings=self._backtest.settings(),
            rows=self._result_rows,
            instruments=self._instruments.known,
            counters=journals.counters,
            seconds=seconds,
            interrupted=self._interrupted,
            error=None if self._damage is None else str(self._damage),
        )
        rows = [given._replace(venue=row.venue) for given, row in zip(self._result_rows, self._rows, strict=True)]
        result = Result.from_journals(journals, self._instruments.known, rows, manifest, has_all_orders=True)
        if self._damage is not None:
            self._damage.result = result
            raise self._damage
        if not self._interrupted:
            self._warn_of_nothing(journals.counters)
            self._warn_of_no_time(journals)
            self._warn_of_no_phases()
        return result

    def _warn_of_nothing(self, counters: dict[str, int]) -> None:
        """An instrument that the input's header names may have no record in it, as a venue has that never had it: what comes out then is no result."""
        others = counters.get("records_other_instruments", 0)
        if others and not counters["records"]:
            names = listed([f"{one.symbol or one.instrument_id} {one.key}" for one in self._instruments.known])
            text = f"instruments: none of the input's {others:,} records is of {names} (publisher, id): nothing has happened in this run"
            warnings.warn(text, stacklevel=4)

    def _warn_of_no_time(self, journals: Journals) -> None:
        """A window may lie beside the data: then no strategy was called, and there is not one sample."""
        window = self._backtest.window
        if any(window) and not len(journals.equity):
            warnings.warn(window.is_empty_because(has_records=journals.counters.get("records", 0) > 0), stacklevel=4)

    def _warn_of_no_phases(self) -> None:
        """A status file of another venue, or another day's ids, has phases of nothing that is in the run: it trades all day, as without the file."""
        told, known = self._instruments.scheduled, self._instruments.known
        if told is not None and known and told.isdisjoint(one.key for one in known):
            names, others = listed([f"{one.symbol or one.instrument_id} {one.key}" for one in known]), listed([str(key) for key in sorted(told)])
            text = f"status: tells of phases of {others or 'nothing'} (publisher, id), and of none of {names}: to the run, that trades all the time"
            warnings.warn(text, stacklevel=4)

    def _tell(self, n_records: int, n_bytes: int, *, compiling: bool = False) -> None:
        if self._progress is not None:
            self._reported = time.perf_counter()
            self._progress(Progress(n_records, n_bytes, self._bytes_total, self._reported - self._started, compiling))

    def _is_due(self) -> bool:
        """Whether progress is to be told again: asked after every chunk."""
        return self._progress is not None and time.perf_counter() - self._reported >= PROGRESS_EVERY_S

    @contextmanager
    def _noting_the_end(self) -> Iterator[None]:
        """Damage and interrupts end a run, and are told in its result."""
        try:
            yield
        except DataError as damage:
            self._damage = damage
        except KeyboardInterrupt:
            self._interrupted = True

    def _compiled(self) -> Journals:
        with jit.compiling:
            session = self._session()
        self._source.end_ns = self._backtest.window.end_ns
        reader = reader_of(self._source, self._instruments, session.open, threads=self._backtest.threads)
        self._started = time.perf_counter()
        with Interrupts() as interrupts:
            with self._noting_the_end():
                for n, _ in reader.chunks():
                    with _naming_who_raises(session, reader):
                        session.chunk(reader.events_address, n)
                    if self._is_due():
                        self._tell(reader.records, reader.bytes_done)
                    if interrupts.seen:
                        self._interrupted = True
                        reader.stop()
                self._tell(reader.records, reader.bytes_done)
            with _naming_who_raises(session, reader):
                session.finish(self._source.end_ns if self._source.is_cut and not self._interrupted else None)
        self._started += session.seconds_compiling
        return Journals(**session.journals(), counters=reader.counters | session.counters)

    def _session(self) -> Any:
        """The engine, compiled. Of runs in several threads the first compiles, and the others find it done."""
        from tapeline import precompile  # noqa: PLC0415 - the compiler is only needed here

        helper = precompile.start()  # before anything else: it works while this process imports the engine and builds its tables
        try:
            from tapeline.engine.team import session_of  # noqa: PLC0415 - same

            run = self._backtest
            how: dict[str, Any] = {"several": self._instruments.several, "equity_every_ns": run.equity_every_ns, "explain": run.explain}
            how["start_ns"] = run.window.start_ns
            session = session_of(self._rows, threads=run.threads, **how)
            if not session.is_compiled:
                self._tell(0, 0, compiling=True)
                if self._progress is None:
                    say("tapeline: compiling the strategies" + ("; the next start with them is immediate" if jit.keeps() else ""))
        except BaseException:
            precompile.abandon(helper)
            raise
        session.compile(helper)
        return session

    def _reference(self) -> Journals:
        from tapeline import reference  # noqa: PLC0415 - a plain engine for those who ask for it

        source, counters = self._source, dict[str, int]()
        every = self._backtest.equity_every_ns
        how: dict[str, Any] = {"explain": self._backtest.explain, "window": reference.Window(*self._backtest.window)}
        rows = [replace(row, strategy=row.strategy.copy()) for row in self._rows]  # as the compiled engine's: what was given stays as it is
        with Interrupts() as interrupts:
            try:
                if isinstance(source, DbnInput):
                    journals = reference.run(self._records(source, interrupts), self._instruments, rows, every, **how)
                else:
                    journals = reference.replay(self._tape_events(interrupts, counters), self._instruments, rows, every, **how)
            except DataError as damage:
                journals = damage.result
                self._damage = DataError(f"{source.reading if isinstance(source, DbnInput) else source.path}: {damage}")  # files are not the engine's
        if isinstance(source, DbnInput):
            counters["records_skipped"] = source.records_skipped
        journals.counters.update(counters)
        return journals

    def _records(self, source: DbnInput, interrupts: Interrupts) -> Iterator[tuple[Any, bool]]:
        """Runs of records, each with whether it is the last of its file; damage and interrupts end them."""
        n = 0
        with self._noting_the_end():
            for run_of_records, is_last in records(source):
                for first in range(0, max(len(run_of_records), 1), 4096):
                    part = run_of_records[first : first + 4096]
                    yield part, is_last and first + 4096 >= len(run_of_records)
                    n += len(part)
                    if self._is_due():
                        self._tell(n, n * 56)
                    interrupts.check()

    def _tape_events(self, interrupts: Interrupts, counters: dict[str, int]) -> Iterator[Any]:
        """The events of a tape, for the reference; `counters` gets the tape's."""
        from tapeline.reference import TapeEvent  # noqa: PLC0415 - as in _reference

        reader = reader_of(self._source, self._instruments, lambda _: None)
        with self._noting_the_end():
            for n, _ in reader.chunks():
                yield from (TapeEvent(*event) for event in reader.events[:n].tolist())
                if self._is_due():
                    self._tell(reader.records, reader.bytes_done)
                interrupts.check()
        counters.update(reader.counters)


@contextmanager
def _naming_who_raises(session: Any, reader: Any) -> Iterator[None]:
    """An error of a callback's says whose callback it was, and about when: a chunk of records is worked on at a time."""
    try:
        yield
    except TapelineError:
        raise
    except Exception as error:
        called, how = session.called, ""
        if jit.JIT:
            from tapeline.diagnose import level_calls  # noqa: PLC0415 - imports all that strategies are given

            how = " Lines are those of when it was compiled; engine='reference' (--engine reference) raises the same with a whole traceback."
            how = level_calls(type(called.strategy), str(error)) + how
        error.add_note(f"{called.label} raised it in a callback, among the first {reader.records:,} records.{how}")
        raise
