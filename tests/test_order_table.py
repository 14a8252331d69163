"""The order table against a dict."""

import random
from pathlib import Path

import numpy as np
import pytest

from tapeline.feeds.synth import SynthConfig, write_synth
from tapeline.inputs import open_input, registry
from tapeline.jit import entry
from tapeline.memory import record_at
from tapeline.order_table import SLOT, Table, address_in, enter, erase, find, goes_round, is_taken, rehash
from tapeline.schema import TAPE_EVENT
from tapeline.tape.reader import TapeReader

BITS = 6
INVERSE = pow(0x9E3779B97F4A7C15, -1, 1 << 64)


@entry
def put(table, key, value):
    """Enter an id that is not there, with a value."""
    place = find(table, key)
    enter(table, place, key)
    record_at(table.slots, place, SLOT).priority = value


@entry
def look(table, key):
    """Its value as both searches find it; 0: it is not there."""
    place, address = find(table, key), address_in(table, key)
    found = record_at(table.slots, place, SLOT).priority if is_taken(table, place) else 0
    return found if found == (record_at(address, 0, SLOT).priority if address else 0) else -1


@entry
def remove(table, key):
    """Erase an id that is there."""
    erase(table, address_in(table, key))


def new_table(bits: int) -> tuple[Table, np.ndarray]:
    """A table, and its memory."""
    slots = np.zeros(1 << bits, SLOT)
    table = Table.array(1)[0]
    table.lay(slots.ctypes.data, bits)
    return table, slots


def id_of(bucket: int, nth: int) -> np.uint64:
    """The nth of the ids that belong in a bucket of a table of BITS."""
    return np.uint64((((bucket % (1 << BITS - 1)) << 65 - BITS | nth) * INVERSE) & (2**64 - 1))


@pytest.mark.nojit
@pytest.mark.parametrize("buckets", [1, 3, 32])
def test_it_is_a_dict(buckets: int) -> None:
    """Whatever is entered and erased, in whatever order, though many ids belong in the same few buckets (at the end of the table, so that they go round)."""
    rng = random.Random(buckets)
    table, slots = new_table(BITS)
    ids = [id_of(31 + k % buckets, k) for k in range(60)] + [np.uint64(0)]
    held: dict[np.uint64, int] = {}
    most = 1 << BITS >> 2
    for value in range(1, 3000):
        key = rng.choice(ids)
        assert look(table, key) == held.get(key, 0)
        if key in held:
            remove(table, key)
            del held[key]
        elif int(table.room) > 0:
            put(table, key, value)
            held[key] = value
        assert int(table.room) == most - len(held)
        if value % 100 == 0:
            assert [look(table, k) for k in ids] == [held.get(k, 0) for k in ids]
    assert int((slots["priority"] != 0).sum()) == len(held)


def test_a_larger_table_holds_the_same() -> None:
    """After a table has grown, every id has its value."""
    table, slots = new_table(BITS)
    ids = [id_of(k % 3, k) for k in range(16)]
    for value, key in enumerate(ids, 1):
        put(table, key, value)
    assert int(table.room) == 0
    more = new_table(BITS + 1)[1]
    rehash(table, more.ctypes.data, BITS + 1)
    assert [look(table, key) for key in ids] == list(range(1, 17))
    assert int(table.room) == 16
    assert len(more) == 2 * len(slots)


@pytest.mark.nojit
@pytest.mark.parametrize("buckets", [1, 2, 5, 31])
@pytest.mark.parametrize("times", [2, 4])
def test_a_table_grows_where_it_lies(buckets: int, times: int) -> None:
    """However crowded buckets are, all ids have their values after the table has grown in its own memory, and it is a dict as before."""
    rng = random.Random(buckets * times)
    for _ in range(20):
        slots = np.zeros(times << BITS, SLOT)
        table = Table.array(1)[0]
        table.lay(slots.ctypes.data, BITS)
        first = rng.randrange(10, 32 - buckets + 1) if buckets < 22 else 1
        held = {id_of(first + k % buckets, rng.getrandbits(40) << 8 | k): k + 1 for k in range(16)}
        for key, value in held.items():
            put(table, key, value)
        assert not goes_round(table)
        rehash(table, slots.ctypes.data, BITS + times.bit_length() - 1)
        assert {key: look(table, key) for key in held} == held
        assert int((slots["priority"] != 0).sum()) == 16
        assert int(table.room) == (times << BITS >> 2) - 16
        for key in rng.sample(list(held), 8):
            remove(table, key)
            del held[key]
        assert {key: look(table, key) for key in held} == held


@pytest.mark.nojit
def test_what_goes_round_is_noticed() -> None:
    """A third order of the first bucket lies at the table's end, and the table says so; it is found there, and when it has come back."""
    table, _ = new_table(BITS)
    ids = [id_of(0, k) for k in range(3)]
    for key in ids[:2]:
        put(table, key, 1)
    assert not goes_round(table)
    put(table, ids[2], 1)
    assert goes_round(table)
    assert [look(table, key) for key in ids] == [1, 1, 1]
    remove(table, ids[0])
    assert [look(table, key) for key in ids] == [0, 1, 1]


def test_tape_events_do_not_depend_on_where_a_table_grew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred thousand live orders give the same tape events, whether their table grows in place or is copied each time."""
    path = tmp_path / "many.dbn"
    write_synth(path, SynthConfig(records=20_000, seed=3, live_orders=100_000))

    def events() -> bytes:
        source = open_input(path)
        reader = TapeReader(source, registry(source, tick_size="0.25", multiplier=1.0), lambda _: None)
        return b"".join(reader.events[:n].tobytes() for n, _ in reader.chunks())

    in_place = events()
    monkeypatch.setattr("tapeline.tape.reader.goes_round", lambda _: True)
    assert events() == in_place
    assert len(in_place) > 100_000 * TAPE_EVENT.itemsize
