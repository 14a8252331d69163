"""`tapeline.depth` against the plain engine's rows, and against Databento's own MBP-10."""

import gc
import random
import weakref
from collections import Counter
from decimal import Decimal
from itertools import product
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from streams import SNAPSHOT, Stream

import tapeline as tl
from tapeline.constants import UNDEFINED_PRICE, RecordFlag, Side
from tapeline.errors import ConfigError, DataError
from tapeline.feeds.dbn import DbnInput, records
from tapeline.feeds.synth import SynthConfig, write_synth
from tapeline.inputs import registry
from tapeline.mbp import DepthReader, depth_chunks
from tapeline.reference import depth_rows, tape
from tapeline.reference.book import Book

DATA = Path(__file__).parents[2] / "shared" / "data" / "databento"
ES, ARL = DATA / "esh4-20231225.mbo.dbn.zst", DATA / "arl-20250717"
HEAD = ["ts_event", "ts_recv", "sequence", "instrument_id", "publisher_id"]
SECOND = 1_000_000_000


def random_stream(seed: int, n: int = 600, shares: tuple[int, ...] = (10, 4, 1)) -> Stream:
    """Records of as many books as there are shares, at prices around zero and far away.

    There are partial cancels, modifies, prints and fills, snapshots and clears in mid-session, and events of several records.
    """
    rng = random.Random(seed)
    stream = Stream()
    live: dict[int, list[int]] = {k + 1: [] for k in range(len(shares))}
    order_id = 0
    for _ in range(n):
        instrument = rng.choices(tuple(live), shares)[0]
        ids = live[instrument]
        more = {"ts": stream.ts + rng.choice((0, 1, 7, 400)), "instrument": instrument, "last": rng.random() < 0.7}
        more["recv"] = more["ts"] + rng.randrange(1, 900)
        side = rng.choice("BA")
        price = rng.randrange(-8, 4) if side == "B" else rng.randrange(-4, 8)
        price = rng.choice((-1, 1)) * 10 ** rng.randrange(3, 9) if rng.random() < 0.04 else price
        what = rng.random()
        if what < 0.02:
            stream.clear(**more | {"last": True}, flags=SNAPSHOT * rng.randrange(2))
            ids.clear()
        elif what < 0.06 and rng.random() < 0.4:
            ids.clear()
            for k in range(rng.randrange(1, 6)):
                order_id += 1
                ids.append(order_id)
                stream.add(order_id, "BA"[k % 2], k - 3, 2, **more | {"last": False}, flags=SNAPSHOT)
        elif what < 0.5 or not ids:
            order_id += 1
            ids.append(order_id)
            stream.add(order_id, side, price, rng.randrange(1, 9), **more)
        elif what < 0.55:
            stream.record("T", side=side, price=price + rng.choice((0, 0.5)), size=2, **more | {"last": False})
            stream.record("F", rng.choice(ids), size=rng.randrange(1, 4), **more)
        elif what < 0.7:
            stream.cancel(rng.choice(ids), rng.randrange(1, 5), **more)
        elif what < 0.85:
            stream.cancel(ids.pop(rng.randrange(len(ids))), 99, **more)
        else:
            stream.modify(rng.choice(ids), side, price, rng.randrange(1, 9), **more)
    return stream


def expected_frame(path: Path, levels: int, tick_size: str) -> pl.DataFrame:
    """What the plain engine says, in the columns of depth."""
    source = DbnInput([path])
    known = registry(source, tick_size=tick_size, multiplier=1.0)
    lines = []
    for row in depth_rows(records(source), known, levels):
        instrument = known.known[row.instrument]
        line = dict(zip(HEAD, (row.ts_event, row.ts_recv, row.sequence, instrument.instrument_id, instrument.publisher_id), strict=True))
        for k in range(levels):
            for i, name in enumerate(("px", "sz", "ct")):
                for side, quotes in (("bid", row.bids), ("ask", row.asks)):
                    value = quotes[k][i]
                    line[f"{side}_{name}_{k:02}"] = None if value == UNDEFINED_PRICE else value
        lines.append(line)
    time = pl.Datetime("ns", "UTC")
    types = {"ts_event": time, "ts_recv": time, "sequence": pl.UInt32, "instrument_id": pl.UInt32, "publisher_id": pl.UInt16}
    names = HEAD + [f"{side}_{name}_{k:02}" for k in range(levels) for name in ("px", "sz", "ct") for side in ("bid", "ask")]
    return pl.DataFrame(lines, schema={name: types.get(name, pl.Int64) for name in names})


@pytest.mark.parametrize("levels", [1, 2, 3, 10])
@pytest.mark.parametrize("seed", range(8))
def test_rows_are_those_of_the_reference_on_random_streams(tmp_path: Path, seed: int, levels: int) -> None:
    """Of any stream, with far and negative prices, snapshots and clears, every row, column and type is the plain engine's."""
    path = random_stream(seed).write(tmp_path / "random.dbn")
    frame = tl.depth(path, levels, tick_size="1")
    expected = expected_frame(path, levels, "1")
    assert frame.height > 50
    assert frame.schema == expected.schema
    assert frame.equals(expected)


def as_kind(path: Path, kind: str) -> Path:
    """A DBN file, or a tape of it."""
    if kind == "tape":
        path, dbn = path.with_suffix(".tape"), path
        tl.write_tape(dbn, path, tick_size="1")
    return path


@pytest.mark.parametrize("kind", ["dbn", "tape"])
@pytest.mark.parametrize("seed", range(6))
def test_records_of_one_instrument_go_into_its_book_at_once(tmp_path: Path, seed: int, kind: str) -> None:
    """Without tape events in between, in chunks of few rows, every row is the plain engine's, as with them, and what is counted is the same."""
    path = random_stream(seed, 5000, (1,)).write(tmp_path / "random.dbn")
    at_once, by_events = (DepthReader(as_kind(path, kind), 1, chunk_bytes=1, tick_size="1") for _ in range(2))
    by_events.is_direct = False
    parts, whole = list(at_once.chunks()), by_events.whole()
    assert len(parts) > 1
    assert pl.concat(parts).equals(whole)
    assert whole.equals(expected_frame(path, 1, "1"))
    assert at_once.counters == by_events.counters


@pytest.mark.parametrize("kind", ["dbn", "tape"])
@pytest.mark.parametrize(("shares", "every", "kept"), [((1,), "event", True), ((1,), "1ns", False), ((10, 4, 1), "event", False)])
def test_tape_events_are_made_where_something_needs_them(tmp_path: Path, kind: str, shares: tuple[int, ...], every: str, kept: bool) -> None:  # noqa: FBT001 - expected
    """Only one instrument's book is kept without them: others' may come on the way, and intervals look at them. Rows are the same."""
    path = random_stream(1, 5000, shares).write(tmp_path / "random.dbn")
    reader = DepthReader(as_kind(path, kind), 1, every, chunk_bytes=1, tick_size="1")
    runs = reader.runs()
    rows = [next(runs).copy()]
    assert reader._reader.in_books == kept
    rows += [run.copy() for run in runs]
    if every == "event":
        assert reader.frame(np.concatenate(rows)).equals(expected_frame(path, 1, "1"))


@pytest.mark.nojit
@pytest.mark.parametrize(("levels", "shares", "kind"), [(3, (10, 4, 1), "dbn"), (1, (1,), "dbn"), (1, (1,), "tape")])
def test_rows_are_those_of_the_reference_without_the_jit(tmp_path: Path, levels: int, shares: tuple[int, ...], kind: str) -> None:
    """The same kernels as plain Python give the same rows."""
    path = random_stream(99, 200, shares).write(tmp_path / "random.dbn")
    assert tl.depth(as_kind(path, kind), levels, tick_size="1").equals(expected_frame(path, levels, "1"))


def test_rows_are_those_of_the_reference_on_a_simulated_session(tmp_path: Path) -> None:
    """Three instruments, compressed, deep books: every row is the plain engine's."""
    path = tmp_path / "session.dbn.zst"
    write_synth(path, SynthConfig(records=20_000, live_orders=900, instruments=3, seed=5))
    frame = tl.depth(path, tick_size="0.25")
    assert frame["instrument_id"].n_unique() == 3
    assert frame.equals(expected_frame(path, 10, "0.25"))


def test_levels_of_depth_are_columns_of_greater_depth(tmp_path: Path) -> None:
    """Fewer levels give the rows of more levels that changed one of the fewer."""
    path = random_stream(3).write(tmp_path / "random.dbn")
    deep, flat = tl.depth(path, 5, tick_size="1"), tl.depth(path, 1, tick_size="1")
    shown = [name for name in flat.columns if name not in HEAD]
    last: dict[int, tuple] = {}
    kept = []
    for line in deep.select(flat.columns).iter_rows(named=True):
        now = tuple(line[name] for name in shown)
        if now != last.get(line["instrument_id"], (None, None, 0, 0, 0, 0)):
            kept.append(line)
        last[line["instrument_id"]] = now
    assert flat.to_dicts() == kept


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("levels", [1, 2])
@pytest.mark.parametrize("every_ns", [1, 1000, 10_000])
def test_intervals_give_their_last_state(tmp_path: Path, seed: int, every_ns: int, levels: int) -> None:
    """`every` gives the last row of each instrument and interval of ts_recv in which it changed; a ts_recv that runs back counts to the open interval."""
    path = random_stream(seed).write(tmp_path / "random.dbn")
    interval, kept = 0, {}
    rows = tl.depth(path, levels, tick_size="1")
    for at, recv in enumerate(rows["ts_recv"].to_physical()):
        interval = max(interval, recv // every_ns)
        kept[interval, rows["instrument_id"][at]] = at
    assert tl.depth(path, levels, every_ns, tick_size="1").equals(rows[sorted(kept.values())])


def test_chunks_are_the_whole(tmp_path: Path) -> None:
    """Frames of a few rows each, with and without intervals, are together what `depth` gives; no frame is empty."""
    path = tmp_path / "session.dbn"
    write_synth(path, SynthConfig(records=20_000, live_orders=300, instruments=2, seed=6))
    for levels, every in product((1, 4), ("event", "100ms")):
        whole = tl.depth(path, levels, every, tick_size="0.25")
        parts = list(DepthReader(path, levels, every, chunk_bytes=1, tick_size="0.25").chunks())
        assert len(parts) > 4
        assert min(part.height for part in parts) > 0
        assert pl.concat(parts).equals(whole)
        assert pl.concat(depth_chunks(path, levels, every, tick_size="0.25")).equals(whole)


def test_memory_of_rows_is_used_again(tmp_path: Path) -> None:
    """Rows that nobody refers to any more make room for others; those that are held stay as they are."""
    path = tmp_path / "session.dbn"
    write_synth(path, SynthConfig(records=20_000, live_orders=300, seed=6))
    places, held = [], []
    for rows in DepthReader(path, 4, chunk_bytes=1, tick_size="0.25").runs():
        places.append(rows.ctypes.data)
        if len(places) == 2:
            held = [rows, rows.copy()]
    assert len(places) > 6
    assert len(set(places)) == 3
    assert places.count(places[1]) == 1
    assert np.array_equal(*held)


def test_a_reader_is_gone_when_nobody_has_it(tmp_path: Path) -> None:
    """With its books and order tables, at once, whether its rows were read to the end or not; what it counted is there as long as it is."""
    path = tmp_path / "session.dbn"
    write_synth(path, SynthConfig(records=20_000, live_orders=300, seed=6))
    for whole in (True, False):
        gc.disable()
        try:
            reader = DepthReader(path, 2, chunk_bytes=1, tick_size="0.25")
            chunks = reader.chunks()
            rows = list(chunks) if whole else next(chunks)
            assert len(rows) > 0
            assert reader.counters["records"] > 0
            del chunks
            assert reader.counters["records"] > 0
            gone = weakref.ref(reader)
            del reader
            assert gone() is None
        finally:
            gc.enable()


def test_instruments_are_chosen_and_ticks_inferred(tmp_path: Path) -> None:
    """`instruments` keeps those named; without a tick size the grid is found in the data, and the rows are the same."""
    path = random_stream(1).write(tmp_path / "random.dbn")
    whole = tl.depth(path, 2, tick_size="1")
    assert tl.depth(path, 2).equals(whole)
    assert tl.depth(path, 2, tick_size="1", instruments=["I2"]).equals(whole.filter(pl.col("instrument_id") == 2))


def test_a_damaged_file_gives_all_before_the_damage(tmp_path: Path) -> None:
    """DataError carries the frame of everything before; an empty file gives an empty frame of all columns."""
    stream = Stream()
    for k in range(50):
        stream.add(k, "BA"[k % 2], (-k if k % 2 == 0 else k), 5, ts=k)
    whole = tl.depth(stream.write(tmp_path / "whole.dbn"), 2, tick_size="1")
    cut = tmp_path / "cut.dbn"
    cut.write_bytes((tmp_path / "whole.dbn").read_bytes()[:-20])
    for every in ("event", 1):
        with pytest.raises(DataError, match=r"cut\.dbn") as damage:
            tl.depth(cut, 2, every, tick_size="1")
        before = damage.value.result
        assert before.height >= whole.height - 2
        assert before.equals(whole.head(before.height))
    empty = tl.depth(Stream().write(tmp_path / "empty.dbn"), 2, tick_size="1")
    assert (empty.height, empty.schema) == (0, whole.schema)


@pytest.mark.parametrize("settings", [{"levels": 0}, {"levels": True}, {"levels": 10_001}, {"every": "0s"}, {"every": "soon"}, {"tick_size": 0}])
def test_settings_that_make_no_sense_are_named(tmp_path: Path, settings: dict) -> None:
    """Each is a ConfigError that names the setting."""
    path = random_stream(1, 5).write(tmp_path / "random.dbn")
    with pytest.raises(ConfigError, match=next(iter(settings))):
        tl.depth(path, **{"tick_size": "1"} | settings)


def arl_lines() -> list[tuple[int, str, tuple]]:
    """Sequence, action and state (price, size, count of ten bids, then asks) of each of ARL's MBP-10 rows."""
    names = [(f"{side}_px_{k:02}", f"{side}_sz_{k:02}", f"{side}_ct_{k:02}") for side in ("bid", "ask") for k in range(10)]
    table = pl.read_csv(f"{ARL}.mbp-10.csv", schema_overrides={price: pl.String for price, _, _ in names}, infer_schema_length=None)
    lines = table.iter_rows(named=True)
    return [(r["sequence"], r["action"], tuple((None if r[p] is None else int(Decimal(r[p]) * SECOND), r[s], r[c]) for p, s, c in names)) for r in lines]


def states_inside(path: Path) -> dict[int, list[tuple]]:
    """By sequence: the states of the plain engine's book in the event that it belongs to, before the first and after each tape event."""
    source = DbnInput([path])
    known = registry(source, tick_size="0.01", multiplier=1.0)
    book, states, by_sequence = Book(), [], {}
    for event in tape(records(source), known, {}):
        states = states or [_state(book)]
        by_sequence[event.sequence] = states
        book.apply(event)
        states.append(_state(book))
        if event.is_last:
            states = []
    return by_sequence


def _state(book: Book) -> tuple:
    quotes = [quote for side in (Side.BID, Side.ASK) for quote in book.quotes(side, 10, SECOND // 100)]
    return tuple((None if q.price == UNDEFINED_PRICE else q.price, q.size, q.count) for q in quotes)


def last_actions(array: np.ndarray) -> dict[int, str]:
    """Sequence and action of each event's last record: one that is flagged so, unless the next has its time and sequence."""
    goes_on = np.append((array["sequence"][1:] == array["sequence"][:-1]) & (array["ts_event"][1:] == array["ts_event"][:-1]), False)
    return {int(r["sequence"]): chr(r["action"]) for r in array[(array["flags"] & RecordFlag.LAST != 0) & ~goes_on]}


@pytest.mark.skipif(not Path(f"{ARL}.mbo.csv").exists(), reason=f"real market data is not here: {ARL}")
def test_arl_is_what_databento_says(tmp_path: Path) -> None:
    """Of Databento's 3,928 MBP-10 rows of ARL, those of an event's last record (3,162) are ours; each of the 766 printed inside an event is a state in it."""
    path = tmp_path / "arl.dbn"
    tl.write_dbn(f"{ARL}.mbo.csv", path)
    array = np.concatenate([run.copy() for run, _ in records(DbnInput([path]))])
    names = [f"{side}_{name}_{k:02}" for side in ("bid", "ask") for k in range(10) for name in ("px", "sz", "ct")]
    frame = tl.depth(path, tick_size="0.01").select("sequence", *names)
    ours = {sequence: tuple(zip(*[iter(line)] * 3, strict=True)) for sequence, *line in frame.iter_rows()}
    state: tuple = ((None, 0, 0),) * 20
    after = {int(sequence): (state := ours.get(int(sequence), state)) for sequence in array["sequence"]}
    inside, last_action = states_inside(path), last_actions(array)
    counted: Counter = Counter()
    for sequence, action, state in arl_lines():
        is_last = action == last_action.get(sequence)
        assert state == after[sequence] if is_last else state in inside[sequence]
        counted["last" if is_last else "inside"] += 1
        counted["inside, and not ours"] += not is_last and state != inside[sequence][-1]
    assert counted == {"last": 3162, "inside": 766, "inside, and not ours": 534}


@pytest.mark.skipif(not ES.exists(), reason=f"real market data is not here: {ES}")
def test_es_is_never_crossed_after_the_open() -> None:
    """On ESH4 the book is locked or crossed before 23:00:00 UTC only, and every row is the plain engine's."""
    frame = tl.depth(ES, tick_size="0.25")
    crossed = frame.filter(pl.col("bid_px_00") >= pl.col("ask_px_00"))
    assert crossed.height > 100
    assert crossed["ts_event"].dt.hour().max() == 22
    assert frame.equals(expected_frame(ES, 10, "0.25"))
