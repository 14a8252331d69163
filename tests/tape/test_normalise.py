"""The compiled normaliser against the plain one: the same tape events and the same counts, whatever the input and however it is cut."""

import random
import re
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streams import GRID, SNAPSHOT, TOP_OF_BOOK, Stream, instruments

from tapeline.constants import LEVEL_MAX, TIME_END, UNDEFINED_PRICE, Kind
from tapeline.errors import DataError
from tapeline.feeds.dbn import DbnInput
from tapeline.feeds.dbn import records as dbn_records
from tapeline.feeds.dbn_write import write_mbo
from tapeline.reference import tape
from tapeline.schema import MBO, TAPE_EVENT
from tapeline.tape.reader import TapeReader

ESH4 = Path(__file__).parents[3] / "shared" / "data" / "databento" / "esh4-20231225.mbo.dbn.zst"
FIELDS = list(TAPE_EVENT.names)
SOME = [(1, 2), (1, 1)]
"""Two of the three instruments of the streams below, in another order than they appear in."""
INT64_MAX, INT64_MIN, UINT32_MAX = 2**63 - 1, -(2**63), 2**32 - 1


def plain(source, only, grid, exclude=()):
    """Tape events as tuples, counters, and the error that ended it, of the reference."""
    counters, events, error = {}, [], None
    try:
        known = instruments(grid=grid, several=True, only=only)
        known.excluded_orders = frozenset(exclude)
        events.extend(tuple(int(getattr(event, name)) for name in FIELDS) for event in tape(dbn_records(source), known, counters))
    except DataError as caught:
        error = caught
    counters["records_skipped"] = source.records_skipped
    return events, counters, error


def compiled(source, only, grid, chunk_events, exclude=()):
    """The same, of the compiled normaliser."""
    known = instruments(grid=grid, several=True, only=only)
    known.excluded_orders = frozenset(exclude)
    reader = TapeReader(source, known, lambda _: None, chunk_events=chunk_events)
    parts, error = [np.zeros(0, TAPE_EVENT)], None
    try:
        for n, _ in reader.chunks():
            assert 0 < n <= len(reader.events)
            parts.append(np.asarray(reader.events[:n]).view(TAPE_EVENT).copy())
    except DataError as caught:
        error = caught
    found = np.concatenate(parts)
    counters = reader.counters | {f"tape_{kind.name}": int((found["kind"] == kind).sum()) for kind in Kind}
    return found[FIELDS].tolist(), counters | {"events": int((found["flags"] >> 7).sum())}, error


def assert_same(path, *, only=None, grid=GRID, chunk_events=4096, chunk_bytes=1 << 22, exclude=(), ends=False):
    """Both read a file alike: every field of every tape event, every counter, and whether it ends in an error."""
    source = DbnInput([path], chunk_bytes=chunk_bytes)
    events, counters, error = plain(source, only, grid, exclude)
    found, counted, raised = compiled(source, only, grid, chunk_events, exclude)
    for i, (one, other) in enumerate(zip(events, found, strict=False)):
        assert dict(zip(FIELDS, other, strict=True)) == dict(zip(FIELDS, one, strict=True)), f"tape event {i}"
    assert len(found) == len(events)
    assert counted == counters
    assert (raised is None) == (error is None)
    assert error is not None or not ends


def written(path, rows):
    """A file of records; those that are bytes are of other types, as they are."""
    records = [r for r in rows if isinstance(r, tuple)]
    write_mbo(path, [np.array(records, MBO)], dataset="TEST.DBN", symbols={1: "ONE"}, start_ns=1_700_000_000_000_000_000)
    if len(records) < len(rows):
        content = path.read_bytes()
        header = content[: 8 + int.from_bytes(content[4:8], "little")]
        path.write_bytes(header + b"".join(np.array([r], MBO).tobytes() if isinstance(r, tuple) else r for r in rows))
    return path


def damaged_rows(seed, records=600, ids=25):
    """Records at random: everything that the rules speak of happens, and much of it at once."""
    rng = random.Random(seed)
    stream, ts, odd = Stream(), 1_000, rng.choice((0.02, 0.1, 0.3))
    in_snapshot = 0
    for _ in range(records):
        ts += rng.choice((0, 0, 1, 5, 40, -20 if rng.random() < odd else 3))
        in_snapshot = rng.random() < (0.9 if in_snapshot else 0.01)
        action = rng.choices("ACMRTFNx", (40, 15, 25, 0.5, 8, 20, 4, 0.5))[0]
        side = rng.choices("BANx", (10, 10, 1, 10 * odd))[0]
        price = None if rng.random() < odd / 3 else rng.randrange(97, 104)
        size = rng.choice((0, 1, UINT32_MAX, UINT32_MAX - 1)) if rng.random() < odd / 2 else rng.randrange(1, 6)
        order_id = rng.randrange(ids) if rng.random() < 0.9 else rng.choice((0, 2**64 - 1, 2**63))
        flags = SNAPSHOT * in_snapshot | rng.choice((0, 0, 0, 8, 4)) | (TOP_OF_BOOK if rng.random() < odd / 3 else 0)
        odd_times = (-1, -1, -2, INT64_MIN, TIME_END - 1, 0) if in_snapshot else (-1, TIME_END - 1, 0)
        now, recv = (rng.choice(odd_times) if rng.random() < odd / 5 else t for t in (ts, ts + rng.randrange(-1, 30)))
        recv = ts if now == recv == -1 else recv  # without any time a record ends all
        stream.record(
            action, order_id, side, price, size, ts=now, recv=recv, last=rng.random() < 0.8, flags=flags,
            sequence=max(1, stream.sequence - (rng.random() < 0.2)),
            instrument=rng.choices((1, 2, 3), (10, 4, 1))[0], publisher=rng.choices((1, 2), (30, 1))[0],
        )  # fmt: skip
        if action == "T" and rng.random() < 0.3:
            stream.rows[-1] = (*stream.rows[-1][:6], rng.choice((-7, 100 * GRID + 1, INT64_MIN, (LEVEL_MAX + 5) * GRID, -5 * GRID - 1)), *stream.rows[-1][7:])
        if rng.random() < odd / 5:
            stream.rows.append(bytes([20, 18]) + rng.randbytes(78))
    return stream.rows


@pytest.mark.parametrize("seed", range(60))
def test_damaged_streams_are_read_alike(seed, tmp_path):
    """Event for event, counter for counter: unknown ids, missing sides and prices, snapshots that break off, clocks that run back, top-of-book records."""
    path = written(tmp_path / "damaged.dbn", damaged_rows(seed, ids=(4, 25, 300)[seed % 3]))
    assert_same(path, only=None if seed % 2 else SOME, chunk_events=(12, 13, 100, 4096)[seed % 4])


@pytest.mark.parametrize("seed", range(20))
def test_times_that_are_none_end_both_alike(seed, tmp_path):
    """Whatever else is odd about the record, event for event and counter for counter up to it; in a snapshot they end nothing."""
    rng = random.Random(seed)
    rows = [row for row in damaged_rows(seed) if isinstance(row, tuple)]
    first = rng.randrange(100, 500)
    for place in (first, *rng.choices(range(len(rows)), k=3)):
        row, none = rows[place], rng.choice((TIME_END, INT64_MAX, INT64_MIN, -2))
        is_snapshot = place != first and rng.random() < 0.5
        flags = row[8] | SNAPSHOT if is_snapshot else row[8] & ~SNAPSHOT
        rows[place] = (*row[:4], rng.choice((none, row[4])), *row[5:8], flags, *row[9:12], none, *row[13:])
    assert_same(written(tmp_path / "damaged.dbn", rows), chunk_events=(12, 4096)[seed % 2], ends=True)


@pytest.mark.parametrize("seed", range(20))
def test_orders_are_taken_out_alike(seed, tmp_path):
    """Some ids are excluded, and whatever happens to them: event for event, counter for counter."""
    rng = random.Random(seed)
    path = written(tmp_path / "damaged.dbn", damaged_rows(seed, ids=25))
    assert_same(path, chunk_events=(12, 4096)[seed % 2], exclude=[rng.randrange(25) for _ in range(8)] + [2**63])


@pytest.mark.parametrize("chunk_bytes", [57, 64, 112, 113, 560, 4096])
def test_where_the_data_is_cut_does_not_matter(chunk_bytes, tmp_path):
    """A compressed file in chunks as small as a record, cut inside records and between those of one event, gives the same."""
    for seed in range(4):
        rows = [r for r in damaged_rows(1000 + seed, 300) if isinstance(r, tuple)]
        assert_same(written(tmp_path / f"{seed}.dbn.zst", rows), chunk_events=12 + seed, chunk_bytes=chunk_bytes)


@pytest.mark.parametrize("chunk_events", [12, 1000, 4096])
def test_snapshots_are_read_alike(chunk_events, tmp_path):
    """Snapshots of thousands of orders, one of them within a session, of books one after the other and by turns: old orders, ids that repeat, breaks."""
    rng = random.Random(chunk_events)
    stream = Stream()
    for by_turns in (False, True):
        for instrument in (1, 2):
            stream.record("R", 0, "N", None, 0, ts=1_000, flags=SNAPSHOT, last=False, instrument=instrument)
        for i in range(6_000):
            order_id = rng.randrange(3_000) if rng.random() < 0.02 else i
            odd = rng.random() < 0.005
            stream.record(
                "C" if odd else "A", order_id, rng.choice("BA"), 95 + i % 7 + (rng.random() < 0.1), rng.randrange(1, 6), ts=-1 if odd else 900 + i,
                flags=SNAPSHOT, last=i == 5_999 or rng.random() < 0.01, instrument=1 + (i % 2 if by_turns else i >= 3_000),
            )  # fmt: skip
        for i in range(300):
            stream.record(rng.choice("ACM"), rng.randrange(6_000), "B", 97, rng.randrange(1, 6), ts=10_000 + i, instrument=rng.choice((1, 2)))
    assert_same(written(tmp_path / "snapshots.dbn", stream.rows), chunk_events=chunk_events)


def some_row():
    """One record: few ids, prices, sizes and times, so that they meet; each flag at times."""
    ids, prices = st.sampled_from([0, 1, 2, 3]), st.sampled_from([UNDEFINED_PRICE, 0, GRID, 2 * GRID, -GRID])
    times, flags = st.sampled_from([-1, 5, 6, 7]), st.sampled_from([0, 128, 128, 160, 32, 192, 64, 136, 132])
    actions, sides = st.sampled_from([ord(c) for c in "AAACMMFFTRNx"]), st.sampled_from([ord(c) for c in "BAN"])
    one, two = st.just(1), st.sampled_from([1, 1, 1, 2])
    return st.tuples(st.just(14), st.just(160), one, two, times, ids, prices, st.integers(0, 4), flags, st.just(0), actions, sides, times, st.just(0), two)


@settings(max_examples=400, deadline=None)
@given(rows=st.lists(some_row(), max_size=12), chunk_events=st.sampled_from([1, 12, 4096]))
def test_any_few_records_are_read_alike(rows, chunk_events, tmp_path_factory):
    """No short sequence of records, of whatever kind, is read differently."""
    assert_same(written(tmp_path_factory.getbasetemp() / "few.dbn", rows), chunk_events=chunk_events)


def test_tables_grow(tmp_path):
    """Thousands of orders in several books, half of them cancelled at random: no id is lost while the tables grow."""
    rng, stream, live = random.Random(1), Stream(), [[], [], []]
    for order_id in range(20_000):
        book = rng.randrange(3)
        stream.add(rng.randrange(2**64), rng.choice("BA"), rng.randrange(1000), 1, ts=order_id, instrument=book + 1)
        live[book].append(stream.rows[-1][5])
        if rng.random() < 0.5:
            gone = live[book].pop(rng.randrange(len(live[book])))
            stream.cancel(gone, 1, instrument=book + 1)
    assert_same(written(tmp_path / "many.dbn", stream.rows), chunk_events=777)


def test_more_instruments_than_there_was_room_for(tmp_path):
    """Two hundred books that appear one by one, and come back: the tables of instruments grow under way."""
    rng, stream = random.Random(2), Stream()
    for i in range(3000):
        stream.add(i, rng.choice("BA"), rng.randrange(100), 1, ts=i, instrument=1 + rng.randrange(1 + i // 15))
    assert_same(written(tmp_path / "books.dbn", stream.rows), chunk_events=50)


@pytest.mark.parametrize("price", [GRID + 1, -1, (LEVEL_MAX + 1) * GRID, -(LEVEL_MAX + 1) * GRID, INT64_MIN])
@pytest.mark.parametrize(("action", "order_id"), [("A", 9), ("M", 9), ("M", 1)])
def test_a_price_off_the_grid_ends_the_run(price, action, order_id, tmp_path):
    """Everything before it was given out, nothing of the record itself; both raise."""
    stream = Stream().add(1, "B", 5, 3, ts=1, flags=SNAPSHOT, last=False)
    stream.record(action, order_id, "A", 0, 2, ts=2)
    stream.rows[-1] = (*stream.rows[-1][:6], price, *stream.rows[-1][7:])
    path = written(tmp_path / "off.dbn", stream.rows)
    source = DbnInput([path])
    (events, _, error), (found, _, raised) = plain(source, None, GRID), compiled(source, None, GRID, 12)
    assert (events, type(error)) == (found, type(raised))
    assert isinstance(raised, DataError)
    assert "record 2 " in str(raised)


@pytest.mark.parametrize("price", [LEVEL_MAX, -LEVEL_MAX])
@pytest.mark.parametrize("side", "BA")
def test_levels_reach_to_their_limit(price, side, tmp_path):
    """The outermost levels of both sides are levels."""
    assert_same(written(tmp_path / "far.dbn", Stream().add(1, side, price, 3, ts=1).cancel(1, 3).rows))


@pytest.mark.parametrize("grid", [1, 3, 250_000_000, 10_000_000, 1 << 40])
def test_any_grid_divides_exactly(grid, tmp_path):
    """Odd grids, powers of two and usual ticks: levels are those of a division."""
    rng, stream = random.Random(grid), Stream(grid)
    for i in range(300):
        stream.add(i, rng.choice("BA"), rng.randrange(-(2**22), 2**22), 1, ts=i).trade("B", rng.randrange(-(2**22), 2**22), 1)
    assert_same(written(tmp_path / "grid.dbn", stream.rows), grid=grid)


def test_records_of_zeros_are_an_error(tmp_path):
    """Bytes that are no record end the run, also as the very first ones."""
    path = written(tmp_path / "zeros.dbn", [struct.pack("56x"), *Stream().add(1, "B", 1, 1).rows])
    assert_same(path)


@pytest.mark.parametrize("damage", ["length", "cut", "time", "grid"])
def test_an_error_says_which_record_of_its_file_it_is(damage, tmp_path):
    """Neither the file before it nor records of other types, which are skipped, make its number another; both readers say the same of what is no record."""
    before = written(tmp_path / "before.dbn", Stream().add(1, "B", 1, 1, ts=1).rows)
    stream = Stream().add(3, "B", 1, 1, ts=3).add(4, "B", 1, 1, ts=TIME_END if damage == "time" else 4)
    if damage == "grid":
        stream.rows[-1] = (*stream.rows[-1][:6], GRID + 1, *stream.rows[-1][7:])
    other = bytes([20, 18]) + bytes(78)
    rows = [other, *stream.rows[:1], other, *stream.rows[1:], *([bytes(56)] if damage == "length" else [])]
    path = written(tmp_path / "damaged.dbn", rows)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-7])
    (_, _, error), (_, _, raised) = plain(DbnInput([before, path]), None, GRID), compiled(DbnInput([before, path]), None, GRID, 12)
    assert re.search(rf"damaged\.dbn: (ends inside )?record {5 if damage == 'length' else 4}\b", str(raised))
    assert damage in {"time", "grid"} or str(raised) == str(error)


@pytest.mark.skipif(not ESH4.exists(), reason="real market data is not part of the project")
@pytest.mark.parametrize(("chunk_events", "chunk_bytes"), [(4096, 1 << 22), (12, 4099)])
def test_an_hour_of_es_is_read_alike(chunk_events, chunk_bytes):
    """68,792 records with a snapshot, the opening and icebergs: event for event, counter for counter, also in small pieces."""
    assert_same(ESH4, grid=250_000_000, chunk_events=chunk_events, chunk_bytes=chunk_bytes)
