"""Runs from a start to an end: strategies sleep until the one, with the market going on, and nothing that was received from the other on is read."""

import random
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from duels import Case
from polars.testing import assert_frame_equal
from streams import Stream, write_records

import tapeline as tl
from tapeline.engine import team
from tapeline.errors import ConfigError, DataError
from tapeline.result import FRAMES
from tapeline.tape.reader import TapeReader
from tapeline.verify import compare

ENGINES = ["compiled", "reference"]
BASE = 1_700_000_000 * 10**9
SEEDS = (8101, 8104, 8106, 8109)
"""Of most tests: what one has compiled, the others find."""


def windowed(seed: int, events_max: int = 200) -> Case:
    """A case with a window in the middle of its data."""
    case, rng = Case.seeded(seed, events_max), random.Random(seed)
    n = len(case.stream().rows)
    return replace(case, window=(rng.randrange(n // 2), n // 2 + rng.randrange(n // 2)))


def assert_same(first: tl.Result, second: tl.Result) -> None:
    """Equal frames and counters."""
    for name in FRAMES:
        assert_frame_equal(getattr(first, name), getattr(second, name), check_exact=True)
    assert first.counters == second.counters


def test_random_windows_agree(tmp_path: Path) -> None:
    """Random markets, venues and strategies, one instrument or several: in windows, both engines record the same, and something."""
    found = [windowed(seed).compared(tmp_path) for seed in SEEDS]
    assert [str(comparison) for comparison in found if not comparison.is_equal] == []
    for frame in ("fills", "orders", "equity", "signals"):
        assert sum(comparison.lines[frame] for comparison in found) > 10, f"no {frame}: the test tests nothing"


@pytest.mark.nojit
@pytest.mark.parametrize("seed", SEEDS[:3])
def test_windows_agree_without_the_jit(tmp_path: Path, seed: int) -> None:
    """The same, of few events, for kernels that may run as plain Python."""
    found = windowed(seed, 30).compared(tmp_path)
    assert found.is_equal, str(found)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_window_around_all_changes_nothing(tmp_path: Path, seed: int, engine: str) -> None:
    """From the first event, or before, and to behind the last record: fills, orders, equity, signals and counters are those of a run without a window."""
    case = Case.seeded(seed)
    path = case.stream().write(tmp_path / "x.dbn")
    end = max(row[12] for row in case.stream().rows if row[12] < 2**62) + 1000
    whole = case.run(path, engine)
    assert_same(whole, case.run(path, engine, start=1, end=end))
    first = min(row[4] for row in case.stream().rows)
    assert_same(whole, case.run(path, engine, start=first))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_tape_has_the_same_windows(tmp_path: Path, seed: int) -> None:
    """What is recorded of a window is that of the DBN, however the tape's events lie in chunks."""
    case = windowed(seed)
    path, tape = case.stream().write(tmp_path / "x.dbn"), tmp_path / "x.tape"
    tl.write_tape(path, tape, tick_size="1", instruments=case.settings["instruments"], feed_time=case.settings["feed_time"])
    settings = {name: value for name, value in case.settings.items() if name not in ("tick_size", "feed_time")}
    given = {**settings, **case.within(), **case.status(path)}
    for engine in ENGINES:
        of_dbn, of_tape = case.run(path, engine), tl.Backtest(tape, engine=engine, **given).run(*case.rows())
        assert compare(of_dbn, of_tape).differences == ()


@pytest.mark.parametrize("chunk_events", [12, 4096])
@pytest.mark.parametrize("threads", [2, 4])
def test_windows_do_not_depend_on_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk_events: int, threads: int) -> None:
    """Read ahead on a second thread, rows shared out among others: frames and counters are those of one thread, whose chunks are as long or others."""
    monkeypatch.setattr(team, "ROWS_PER_SESSION_MIN", 1)
    for seed in SEEDS:
        case = windowed(seed)
        path = case.stream().write(tmp_path / "x.dbn")
        one = case.run(path, "compiled", threads=1)
        with monkeypatch.context() as patch:
            patch.setitem(TapeReader.__init__.__kwdefaults__, "chunk_events", chunk_events)
            several = case.run(path, "compiled", threads=threads)
        found = compare(one, several)
        assert found.differences == ()
        assert found.counters.keys() <= {"records_after_arrival"}  # which each session counts by the arrivals of its own rows


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("suffix", [".dbn", ".dbn.zst"])
def test_what_comes_later_is_not_read(tmp_path: Path, suffix: str, engine: str) -> None:
    """A run to an end is the same whatever follows the first record that was received then; a damaged file after it ends no run."""
    case = windowed(SEEDS[0])
    case = replace(case, settings={**case.settings, "feed_time": "received"})
    records, end = case.stream().array(), case.within()["end"]
    first = int(((records["ts_recv"] >= end) & (records["ts_recv"] < 2**62)).argmax())
    assert 0 < first < len(records) - 5
    whole = case.run(write_records(tmp_path / f"whole{suffix}", records), engine)
    assert_same(whole, case.run(write_records(tmp_path / f"cut{suffix}", records[: first + 1]), engine))
    parts = [write_records(tmp_path / f"{name}{suffix}", part) for name, part in (("a", records[: first + 1]), ("b", records[first + 1 :]))]
    parts[1].write_bytes(parts[1].read_bytes()[:-20])
    settings = {**case.settings, "engine": engine}
    assert_same(whole, tl.Backtest(parts, **settings, **case.within()).run(*case.rows()))
    with pytest.raises(DataError):
        tl.Backtest(parts, **settings).run(*case.rows())


class Eye(tl.Strategy):
    """Signals all that it sees of two markets: in on_start, or when a timer wakes it at a time."""

    depth = 2
    features = (tl.Feature.MICROPRICE, tl.Feature.TRADE_FLOW, tl.Feature.ORDER_FLOW_IMBALANCE, tl.Feature.VOLATILITY_REALISED)
    signals = ("bid", "ask", "bid_size", "ask_size", "second", "last", "ts", "phase", "microprice", "flow", "ofi", "variance")

    at: tl.int64 = 0

    def on_start(self, market, orders, account):
        """Look, or wait."""
        if self.at == 0:
            self.look(market)
        else:
            orders.wake_at(self.at)

    def on_timer(self, market, orders, account):
        """Look."""
        self.look(market)

    def look(self, market):
        """Write all down, of both in one number each."""
        a, b = market[0], market[1]
        self.signal(0, a.bid_price + 3 * b.bid_price)
        self.signal(1, a.ask_price + 3 * b.ask_price)
        self.signal(2, a.bid_size + 3 * b.bid_size)
        self.signal(3, a.ask_size + 3 * b.ask_size)
        self.signal(4, a.bid(1).price + 3 * b.bid(1).price)
        self.signal(5, a.last_price + 3 * b.last_price)
        self.signal(6, a.ts_event + 3 * b.ts_event)
        self.signal(7, a.phase + 3 * b.phase)
        self.signal(8, a.features[tl.Feature.MICROPRICE] + 3 * b.features[tl.Feature.MICROPRICE])
        self.signal(9, a.features[tl.Feature.TRADE_FLOW] + 3 * b.features[tl.Feature.TRADE_FLOW])
        self.signal(10, a.features[tl.Feature.ORDER_FLOW_IMBALANCE] + 3 * b.features[tl.Feature.ORDER_FLOW_IMBALANCE])
        self.signal(11, a.features[tl.Feature.VOLATILITY_REALISED] + 3 * b.features[tl.Feature.VOLATILITY_REALISED])


class Teller(Eye):
    """The same, of a class that is told of trades and views, too."""

    def on_book(self, market, orders, account):
        """Nothing."""

    def on_trade(self, trade, market, orders, account):
        """Nothing."""


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("seed", [3, 12, 24])
def test_at_the_start_a_strategy_sees_what_it_would_have_seen(tmp_path: Path, seed: int, engine: str) -> None:
    """Levels, last trade, features and phase of two instruments in on_start are those that a strategy sees that was there all the time, and looks then."""
    case = Case.seeded(seed)
    path = case.stream().write(tmp_path / "x.dbn")
    settings = {**case.settings, **case.status(path), "engine": engine}
    times = sorted({row[4] for row in case.stream().rows})
    for start in (times[len(times) // 3] + 1, times[len(times) // 2], times[-1]):
        feeds = [tl.Latency(feed=feed) for feed in (0, 7, 60)]
        late = tl.Backtest(path, start=start, **settings).run(*[tl.Row(cls(), latency=feed) for cls in (Eye, Teller) for feed in feeds])
        there = tl.Backtest(path, **settings).run(*[tl.Row(cls(at=start - 1), latency=feed) for cls in (Eye, Teller) for feed in feeds])
        assert late.signals.height == there.signals.height == 6 * 12
        assert late.signals.drop("ts").equals(there.signals.drop("ts"), null_equal=True)
        assert late.signals["ts"].to_physical().min() >= start


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_recorded_outside(tmp_path: Path, seed: int) -> None:
    """Signals, samples, orders and fills have times of the window on the strategies' clock: none before its start, none after its end."""
    case = windowed(seed)
    result = case.run(case.stream().write(tmp_path / "x.dbn"), "compiled")
    within = case.within()
    for frame, time in (("signals", "ts"), ("equity", "ts"), ("orders", "ts_sent"), ("fills", "ts_local"), ("stops", "ts")):
        times = getattr(result, frame)[time].to_physical()
        latest = max([within.get("end", 2**62), *(row[4] for row in case.stream().rows if row[12] < within.get("end", 2**62))])
        assert times.is_empty() or (within["start"] <= times.min() and times.max() <= latest)


class Clock(tl.Strategy):
    """Signals its clock at every callback, and wakes every 10 ns."""

    signals = ("start", "timer", "book", "end")

    def on_start(self, market, orders, account):
        """Begin."""
        self.signal(0, orders.now - BASE)
        orders.wake_at(orders.now + 10)

    def on_timer(self, market, orders, account):
        """Go on."""
        self.signal(1, orders.now - BASE)
        orders.wake_at(orders.now + 10)

    def on_book(self, market, orders, account):
        """A view."""
        self.signal(2, orders.now - BASE)

    def on_end(self, market, orders, account):
        """The last."""
        self.signal(3, orders.now - BASE)


def clock(tmp_path: Path, engine: str, **more: Any) -> dict[str, list[float]]:
    """What the clock shows, by callback, in a market with an event at 100, 200, 300 and 400, which is received 5 later."""
    stream = Stream()
    for i in range(1, 5):
        stream.add(i, "B", 90 + i, 1, ts=BASE + 100 * i, recv=BASE + 100 * i + 5)
    result = tl.Backtest(stream.write(tmp_path / "x.dbn"), tick_size="1", multiplier=1, equity_every=50, instruments=[1], engine=engine, **more).run(Clock())
    told = {name: result.signals.filter(result.signals["signal"].cast(str) == name)["value"].to_list() for name in Clock.signals}
    return {**told, "samples": (result.equity["ts"].to_physical() - BASE).to_list(), "records": [result.counters["records"]]}


@pytest.mark.nojit
@pytest.mark.parametrize("engine", ENGINES)
def test_time_passes_from_the_start_to_the_end(tmp_path: Path, engine: str) -> None:
    """Strategies live from `start` on their clock, news that were on their way reach them, and timers run until `end`, though no record is as late as that."""
    told = clock(tmp_path, engine, start=BASE + 203, end=BASE + 380)
    assert told["start"] == [203]
    assert told["book"] == [205, 305]
    assert told["timer"] == [float(t) for t in range(213, 380, 10)]
    assert (told["end"], told["samples"][-1], told["records"]) == ([380], 380, [3])
    assert clock(tmp_path, engine, start=BASE + 203, end=BASE + 383)["timer"][-1] == 373  # what is due at the end itself is not of the window


@pytest.mark.nojit
@pytest.mark.parametrize("engine", ENGINES)
def test_where_the_data_ends_before_time_ends_with_it(tmp_path: Path, engine: str) -> None:
    """An end behind the last record changes nothing: nobody knows how long the venue was quiet then."""
    assert clock(tmp_path, engine, end=BASE + 1000) == clock(tmp_path, engine)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("window", "words"),
    [
        ({"start": "2030-01-01"}, "start=2030-01-01 00:00:00 .*no event of the run's instruments is at or after it: nothing"),
        (
            {"start": BASE + 210, "end": BASE + 290},
            "start=2023-11-14 22:13:20.00000021 .*or after it, and before end=2023-11-14 22:13:20.00000029: nothing",
        ),
        ({"end": "2001-01-01"}, "end=2001-01-01 00:00:00 .*no record of the run's instruments is before it"),
    ],
)
def test_windows_beside_the_data_are_told(tmp_path: Path, engine: str, window: dict[str, Any], words: str) -> None:
    """A window in which nothing happens is told, with the setting, and nothing is recorded: no callback, no sample."""
    with pytest.warns(UserWarning, match=words):
        told = clock(tmp_path, engine, **window)
    assert [told[name] for name in (*Clock.signals, "samples")] == 5 * [[]]


@pytest.mark.parametrize(
    ("window", "words"),
    [
        ({"start": "yesterday"}, "start='yesterday': expected a time such as"),
        ({"end": 1.5}, "end=1.5: expected a time such as"),
        ({"start": "2024-01-02", "end": "2024-01-02T00:00"}, r"start=2024-01-02 00:00:00, end=2024-01-02 00:00:00 \(UTC\): a run ends after it has started"),
    ],
)
def test_windows_that_make_no_sense_are_refused(window: dict[str, Any], words: str) -> None:
    """What is no time, and an end that is not after the start, is named before anything is read."""
    with pytest.raises(ConfigError, match=words):
        tl.Backtest("x.dbn", **window)


def test_times_are_given_as_text_datetimes_or_ns() -> None:
    """The same moment in three ways, and in another zone, is the same window, and the manifest has it in ns."""
    moment = datetime(2024, 1, 2, 14, 30, tzinfo=timezone(timedelta(hours=-6)))
    backtests = [tl.Backtest("x.dbn", start=start) for start in (moment, "2024-01-02T20:30", "2024-01-02T14:30-06:00", 1_704_227_400 * 10**9)]
    assert {backtest.settings()["start_ns"] for backtest in backtests} == {1_704_227_400 * 10**9}
    assert backtests[0].settings()["end_ns"] is None
