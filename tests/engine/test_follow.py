"""Any moment of a session, reached in any order by `tapeline view`, is what `tapeline.depth`, `tapeline.features` and the tape say."""

import itertools
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from random_markets import RandomMarket

import tapeline as tl
from tapeline.constants import TapeFlag
from tapeline.feeds.synth import SynthConfig, write_synth
from tapeline.instruments import Instrument
from tapeline.market.follow import TOUCHES_KEPT
from tapeline.mbp import depth
from tapeline.viewer import index as indexing
from tapeline.viewer.index import Index
from tapeline.viewer.own import OwnOrders
from tapeline.viewer.player import READ_EVENTS
from tapeline.viewer.session import Session

LEVELS = 4
KEY = ["ts_event", "ts_recv", "sequence"]


Opener = Callable[..., Session]


@pytest.fixture
def session_of() -> Iterator[Opener]:
    """Gives indexed sessions, and closes them."""
    opened = []

    def make(data: Path | list[Path], **settings: object) -> Session:
        index = Index(data, {}, **settings)
        opened.append(index)
        index.run()
        return Session(index, OwnOrders(), "test")

    yield make
    for index in opened:
        index.close()


def market_file(path: Path, seed: int, n: int = 400) -> Path:
    """A random market of one or three books."""
    return RandomMarket(seed, books=1 + 2 * (seed % 2)).grow(n).write(path)


def expected(path: Path, instrument: Instrument, settings: dict[str, str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Features after each ordinary event of an instrument, and its levels as `depth` has them: a line where one changed."""
    is_its = (pl.col("publisher_id") == instrument.publisher_id) & (pl.col("instrument_id") == instrument.instrument_id)
    return tl.features(path, **settings).filter(is_its), depth(path, LEVELS, **settings).filter(is_its)


def levels_of(scene: dict, grid: int) -> list[tuple]:
    """The best levels of a scene: (price in 1e-9, size, count), bids first, absent ones as depth has them."""
    found = []
    for side in ("bids", "asks"):
        rows = [(tick * grid, size, count) for tick, size, count in scene[side][:LEVELS]]
        found += rows + [(None, 0, 0)] * (LEVELS - len(rows))
    return found


def check_all(path: Path, session: Session, settings: dict[str, str], rng: random.Random) -> int:
    """Every event of every instrument, in a random order; how many."""
    seen = 0
    for number, instrument in enumerate(session.index.instruments):
        features, rows = expected(path, instrument, settings)
        assert session.index.reach.events[number] == features.height
        values = features.drop("instrument_id", "publisher_id", *KEY).to_numpy()
        times = features["ts_event"].to_physical().to_list()
        columns = [f"{side}_{name}_{k:02}" for side in ("bid", "ask") for k in range(LEVELS) for name in ("px", "sz", "ct")]
        shown = [tuple(zip(*[iter(row)] * 3, strict=True)) for row in rows.select(columns).iter_rows()]
        scenes = {}
        for event in rng.sample(range(1, features.height + 1), features.height):
            scene = scenes[event] = session.at_event(number, event)
            got = np.array([np.nan if v is None else v for v in scene["features"]])
            assert np.array_equal(got, values[event - 1], equal_nan=True), (event, got, values[event - 1])
            assert (scene["event"], scene["sequence"]) == (event, features["sequence"][event - 1])
            assert scene["ts_event"].endswith(f"{times[event - 1] % 10**9:09d}")
        changes, last = [], [(None, 0, 0)] * (2 * LEVELS)
        for event in range(1, features.height + 1):
            now = levels_of(scenes[event], instrument.grid)
            if now != last:
                changes.append(tuple(now))
                last = now
        assert changes == shown
        touches = [tuple(None if price is None else price / 1e9 for price in (row[0][0], row[LEVELS][0])) for row in [[(None,)] * (2 * LEVELS), *shown]]
        touches = [touch for before, touch in itertools.pairwise([None, *touches]) if touch != before]
        kept = [tuple(prices) for _, *prices in scenes[features.height]["touches"]]
        assert kept in (touches[-TOUCHES_KEPT:], touches[1:][-TOUCHES_KEPT:])  # the first event may leave an empty book, which is no change
        seen += features.height
    return seen


@pytest.mark.parametrize("seed", range(8))
def test_every_event_of_random_streams_is_what_depth_and_features_say(session_of: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """In any order, with few or many checkpoints: best levels, counts and all features, bit by bit, through snapshots, clears and clocks that run back."""
    for name, value in (("CHECKPOINT_EVENTS", 16), ("CHECKPOINTS_MAX", (4, 64)[seed % 2]), ("SAMPLE_EVENTS", 8), ("SAMPLES_MAX", 16)):
        monkeypatch.setattr(indexing, name, value)
    path = market_file(tmp_path / "random.dbn", seed)
    session = session_of(path, tick_size="1")
    assert check_all(path, session, {"tick_size": "1"}, random.Random(seed)) > 100


@pytest.mark.nojit
def test_every_event_is_what_depth_and_features_say_without_the_jit(session_of: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same kernels as plain Python show the same."""
    monkeypatch.setattr(indexing, "CHECKPOINT_EVENTS", 16)
    path = market_file(tmp_path / "random.dbn", 101, 60)
    assert check_all(path, session_of(path, tick_size="1"), {"tick_size": "1"}, random.Random(0)) > 10


def timeless(scene: dict) -> dict:
    """A scene but for what is counted from now, and how it was reached."""
    trades = [{**trade, "ms": 0} for trade in scene["trades"]]
    return {**scene, "now": 0, "time": 0, "replayed": 0, "trades": trades, "touches": [prices for _, *prices in scene["touches"]]}


def event_times(session: Session) -> list[tuple[int, int]]:
    """When each ordinary event of the first instrument begins, on a clock that never runs back, and what the clock says after it."""
    times, clock, begin = [], -(2**62), None
    rows = session.index.spill.read(0, session.index.reach.tape_n)
    for event in rows[rows["instrument"] == 0]:
        is_snapshot = event["flags"] & TapeFlag.SNAPSHOT
        if begin is None:
            begin = clock if is_snapshot else max(clock, int(event["ts_event"]))
        if event["flags"] & TapeFlag.LAST:
            if not is_snapshot:
                clock = max(begin, int(event["ts_event"]))
                times.append((begin, clock))
            begin = None
    return times


def test_a_time_is_the_last_event_that_began_before_it(session_of: Opener, tmp_path: Path) -> None:
    """On a clock that never runs back; before the first event, the first. What is shown is what that event shows, and the time is the one asked for."""
    for seed in range(4):
        session = session_of(market_file(tmp_path / f"{seed}.dbn", seed), tick_size="1")
        begins, clocks = (np.array(column) for column in zip(*event_times(session), strict=True))
        rng = np.random.default_rng(seed)
        for ts in [*rng.integers(clocks[0] - 5, clocks[-1] + 5, 60), *rng.choice(clocks, 40)]:
            scene = session.at_time(0, int(ts))
            assert scene["event"] == max(int(np.searchsorted(begins, ts, "right")), 1)
            assert int(scene["now"]) == max(int(ts), int(clocks[scene["event"] - 1]))
            assert timeless(scene) == timeless(session.at_event(0, scene["event"]))


def test_a_million_records_are_indexed_in_bounded_memory_and_sought_in_one_stride(session_of: Opener, tmp_path: Path) -> None:
    """Checkpoints and samples stay within their limits, and no seek replays more than lies between two checkpoints: that is what makes it quick."""
    path = tmp_path / "million.dbn"
    write_synth(path, SynthConfig(records=1_000_000, live_orders=5_000, seed=5, gap_scale=0.1))
    session = session_of(path, tick_size="0.25")
    index = session.index
    assert index.reach.tape_n > 1_000_000
    assert 20 < len(index.checkpoints) <= indexing.CHECKPOINTS_MAX
    assert index._nbytes() < 32 << 20
    assert len(index.samples) <= indexing.SAMPLES_MAX
    gaps = np.diff([0, *(checkpoint.x for checkpoint in index.checkpoints), index.reach.tape_n])
    assert gaps.max() <= indexing.CHECKPOINT_EVENTS + READ_EVENTS
    rng = random.Random(1)
    events = [rng.randrange(1, index.reach.events[0] + 1) for _ in range(100)]
    scenes = [session.at_event(0, event) for event in events]
    assert max(scene["replayed"] for scene in scenes) <= gaps.max()
    start, end = int(session.at_event(0, 1)["now"]), int(session.at_event(0, 2**62)["now"])
    replayed = [session.at_time(0, rng.randrange(start, end))["replayed"] for _ in range(100)]
    assert max(replayed) <= gaps.max()


def test_checkpoints_are_thinned_and_stay_right(session_of: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for few, every second one goes as often as needed, by number or by size; those left are evenly spaced, and a seek is as right as before."""
    path = tmp_path / "day.dbn"
    write_synth(path, SynthConfig(records=60_000, live_orders=500, seed=6))
    before = session_of(path, tick_size="0.25")
    whole = [before.at_event(0, event) for event in (1, 777, 20_000, 30_001)]
    for name, value, limits in (("CHECKPOINTS_MAX", 6, (3, 6)), ("CHECKPOINT_BYTES_MAX", 200_000, (1, 40))):
        with monkeypatch.context() as patch:
            patch.setattr(indexing, "CHECKPOINT_EVENTS", 256)
            patch.setattr(indexing, name, value)
            session = session_of(path, tick_size="0.25")
        checkpoints = session.index.checkpoints
        assert limits[0] <= len(checkpoints) <= limits[1]
        if name == "CHECKPOINT_BYTES_MAX":
            assert session.index._nbytes() <= value
        assert max(np.diff([c.x for c in checkpoints])) <= 2 * min(np.diff([c.x for c in checkpoints])) + 4096
        for scene in whole:
            assert {**session.at_event(0, scene["event"]), "replayed": 0} == {**scene, "replayed": 0}
