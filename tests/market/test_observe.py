"""The pass that looks at the market: best prices at asked times, bars and resting size, against the plain engine's book."""

import random
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from tapeline.constants import UNDEFINED_PRICE, Kind, Side
from tapeline.feeds.dbn import DbnInput, records
from tapeline.feeds.synth import SynthConfig, write_synth
from tapeline.inputs import registry
from tapeline.market_pass import Pass, Watched, Window
from tapeline.reference import tape
from tapeline.reference.book import Book
from tapeline.reference.tape import TapeEvent

TICK = "0.25"
GRID = 250_000_000


@dataclass
class State:
    """A book between two of its events: from when on, what rested, and the trades of the event that made it."""

    ts: int
    bid: int
    ask: int
    sizes: dict[tuple[int, int], int]
    prints: list[TapeEvent] = field(default_factory=list)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated session of two instruments."""
    path = tmp_path_factory.mktemp("data") / "session.dbn"
    write_synth(path, SynthConfig(records=6_000, live_orders=300, instruments=2, tick=TICK, seed=4))
    return path


def states(path: Path) -> dict[int, list[State]]:
    """What the plain engine's books looked like after each ordinary event, by instrument."""
    source = DbnInput([path])
    known = registry(source, tick_size=TICK, multiplier=1.0, instruments=None if "ES" in path.name else ids(path))
    books, found, prints = defaultdict(Book), defaultdict(list), defaultdict(list)
    for event in tape(records(source), known, {}):
        book = books[event.instrument]
        book.apply(event)
        if event.kind == Kind.TRADE:
            prints[event.instrument].append(event)
        if event.is_last and not event.is_snapshot:
            bid, ask = book.quotes(Side.BID, 1, GRID)[0].price, book.quotes(Side.ASK, 1, GRID)[0].price
            sizes = {(side, q.price // GRID): q.size for side in (0, 1) for q in book.quotes((Side.BID, Side.ASK)[side], 60, GRID) if q.size}
            found[event.instrument].append(State(event.ts_event, bid, ask, sizes, prints.pop(event.instrument, [])))
    return found


def ids(path: Path) -> list[int]:
    """Instruments of a file, in order."""
    array = np.concatenate([run for run, _ in records(DbnInput([path]))])
    return [int(i) for i in dict.fromkeys(array["instrument_id"].tolist())]


def end_of(path: Path) -> int:
    """The greatest time of an ordinary record."""
    array = np.concatenate([run for run, _ in records(DbnInput([path]))])
    ordinary = array[(array["flags"] & 32) == 0]
    return int(max(ordinary["ts_event"].max(), ordinary["ts_recv"].max()))


def snapshot_of(path: Path) -> tuple[int, int]:
    """Best prices of the snapshot at a file's start."""
    source, book = DbnInput([path]), Book()
    for event in tape(records(source), registry(source, tick_size=TICK, multiplier=1.0), {}):
        if not event.is_snapshot:
            break
        book.apply(event)
    return book.quotes(Side.BID, 1, GRID)[0].price, book.quotes(Side.ASK, 1, GRID)[0].price


def mean_size(timeline: list[State], key: tuple[int, int], start: int, end: int) -> float:
    """Size that rested at a price, averaged over a time, in plain Python."""
    area = 0
    for state, following in zip(timeline, [*timeline[1:], None], strict=True):
        until = following.ts if following else end
        area += state.sizes.get(key, 0) * max(0, min(until, end) - max(state.ts, start))
    return area / (end - start)


def test_quotes_are_those_of_the_last_event_before_or_at_a_time(session: Path) -> None:
    """Undefined before the book's first event and after the end of the data (of any instrument); else as the last event with ts_event ≤ t left the book."""
    rng = random.Random(1)
    timelines, end = states(session), end_of(session)
    assert end > min(timeline[-1].ts for timeline in timelines.values())  # one goes on while the other is quiet
    asked = {}
    for index, timeline in timelines.items():
        first, last = timeline[0].ts, timeline[-1].ts
        times = [s.ts + d for s in rng.sample(timeline, 300) for d in (-1, 0, 1)]
        times += [first - 5, last, last + 1, end, end + 1, *rng.sample(range(first, last), 200)]
        asked[index] = Watched(times=np.array(sorted(times)))
    assert Pass(session, asked, tick_size=TICK, instruments=ids(session)).run() is None
    for index, watched in asked.items():
        timeline, at = timelines[index], np.array([s.ts for s in timelines[index]])
        for time, quote in zip(watched.times, watched.quotes, strict=True):
            known = at[0] <= time <= end
            state = timeline[np.searchsorted(at, time, side="right") - 1]
            expected = (state.bid, state.ask) if known else (UNDEFINED_PRICE, UNDEFINED_PRICE)
            assert (int(quote["bid"]), int(quote["ask"])) == expected


def test_a_snapshot_replaces_the_book_when_it_was_taken(tmp_path: Path) -> None:
    """After a file's last event its book stands until the next file's snapshot was taken, and what that shows until the first event; so in a quiet day."""
    first, quiet, second = (tmp_path / f"{day}.dbn" for day in range(3))
    for day, path in enumerate((first, quiet, second)):
        start = 1_704_236_400_000_000_000 + day * 86_400 * 10**9
        write_synth(path, SynthConfig(records=0 if path == quiet else 500, live_orders=300, tick=TICK, seed=day, price=4_800 + 100 * day, start_ns=start))
    last, opening = states(first)[0][-1], states(second)[0][0]
    taken = [int(array["ts_recv"][0]) for path in (quiet, second) for array, _ in list(records(DbnInput([path])))[:1]]
    asked = [last.ts, last.ts + 1, taken[0] - 1, taken[0], taken[1] - 1, taken[1], opening.ts - 1, opening.ts]
    watched = Watched(times=np.array(asked))
    assert Pass([first, quiet, second], {0: watched}, tick_size=TICK).run() is None
    shown = [(int(quote["bid"]), int(quote["ask"])) for quote in watched.quotes]
    assert shown[:3] == [(last.bid, last.ask)] * 3
    assert shown[3:] == [snapshot_of(quiet)] * 2 + [snapshot_of(second)] * 2 + [(opening.bid, opening.ask)]
    assert len({last.bid, *(bid for bid, _ in shown[3:])}) >= 3


def test_sizes_between_two_files_are_of_the_book_of_the_day(tmp_path: Path) -> None:
    """From a file's last event until the next file's snapshot was taken its own book rests, then what that shows: a column with both has the mean by time."""
    first, second = (tmp_path / f"{day}.dbn" for day in range(2))
    for day, path in enumerate((first, second)):
        start = 1_704_236_400_000_000_000 + day * 86_400 * 10**9
        write_synth(path, SynthConfig(records=500, live_orders=300, tick=TICK, seed=day, start_ns=start))
    last, opening = states(first)[0][-1], states(second)[0][0]
    taken = int(next(iter(records(DbnInput([second]))))[0]["ts_recv"][0])
    assert last.ts < taken < opening.ts - 4
    shown = snapshot_of(second)
    half = (opening.ts - taken) // 2
    low = min(last.bid, shown[0]) // GRID - 5
    window = Window(taken - 5 * half, 2 * half, 3, low, 40)
    Pass([first, second], {0: Watched(windows=[window])}, tick_size=TICK).run()
    assert [(int(quote["bid"]), int(quote["ask"])) for quote in window.quotes] == [(last.bid, last.ask)] * 2 + [shown]
    held = np.array([[last.sizes.get((side, low + row), 0) for row in range(40)] for side in (0, 1)])
    opened = Window(taken, half, 1, low, 40)
    Pass([second], {0: Watched(windows=[opened])}, tick_size=TICK).run()
    assert (opened.sizes[0] != held).any()
    assert (window.sizes[:2] == held).all()
    assert window.sizes[2] == pytest.approx((held + opened.sizes[0]) / 2)


def test_bars_count_events_trades_and_extremes(session: Path) -> None:
    """A bar per interval with events: closing, least and greatest best price, number of events, trades and lots; more bars than there was room for at first."""
    timeline = states(session)[0]
    bar_ns = max(1, (timeline[-1].ts - timeline[0].ts) // 9_000)
    watched = Watched(bar_ns=bar_ns)
    Pass(session, {0: watched}, tick_size=TICK, instruments=ids(session)).run()
    expected: dict[int, list[State]] = {}
    for state in timeline:
        expected.setdefault(state.ts // bar_ns * bar_ns, []).append(state)
    assert watched.bars["start"].tolist() == list(expected)
    for bar, inside in zip(watched.bars, expected.values(), strict=True):
        prices = [p for s in inside for p in (s.bid, s.ask) if p != UNDEFINED_PRICE]
        prints = [p for s in inside for p in s.prints]
        assert (bar["bid"], bar["ask"], bar["low"], bar["high"]) == (inside[-1].bid, inside[-1].ask, min(prices), max(prices))
        assert (bar["events"], bar["trades"], bar["volume"]) == (len(inside), len(prints), sum(p.delta for p in prints))


def test_heat_is_the_mean_size_over_time(session: Path) -> None:
    """Each cell is the size at its price averaged over its interval, both sides apart, in two windows; quotes and trades are those of the window."""
    timeline = states(session)[1]
    span = timeline[-1].ts - timeline[0].ts
    middle = timeline[len(timeline) // 2].bid // GRID
    windows = [Window(timeline[0].ts + span // k, span // 400, 40, middle - 8, 17) for k in (4, 2)]
    watched = Watched(windows=windows)
    Pass(session, {1: watched}, tick_size=TICK, instruments=ids(session)).run(until_ns=windows[-1].end_ns)
    for window in windows:
        for column in (0, 1, 17, 39):
            start = window.start_ns + column * window.bin_ns
            for side in (0, 1):
                expected = [mean_size(timeline, (side, window.tick_low + row), start, start + window.bin_ns) for row in range(window.rows)]
                assert window.sizes[column, side].tolist() == pytest.approx(expected)
            last = [s for s in timeline if s.ts < start + window.bin_ns][-1]
            assert tuple(window.quotes[column].tolist()) == (last.bid, last.ask)
        inside = [(s.ts, p.priority, p.delta, p.side) for s in timeline if window.start_ns < s.ts < window.end_ns for p in s.prints]
        seen = [tuple(p) for p in window.prints[["ts", "price", "size", "side"]].tolist()]
        assert seen == inside
        assert inside


def test_columns_after_the_data_are_nan(session: Path) -> None:
    """What the data does not reach is NaN and undefined, not 0; before the first event there is what the snapshot at the start shows."""
    timeline = states(session)[0]
    before = Window(timeline[0].ts - 10_000, 1_000, 5, timeline[0].bid // GRID - 1, 4)
    after = Window(timeline[-1].ts - 10, 1_000_000_000, 3, 0, 4)
    Pass(session, {0: Watched(windows=[before, after])}, tick_size=TICK, instruments=ids(session)).run()
    assert (before.sizes == before.sizes[0]).all()
    assert before.sizes.sum() > 0
    assert np.isnan(after.sizes).all()
    assert (after.quotes["bid"] == UNDEFINED_PRICE).all()
