"""The order table against a dict."""

import random

import numpy as np
import pytest

from tapeline.jit import entry
from tapeline.memory import record_at
from tapeline.tape.order_table import SLOT, Table, address_in, enter, erase, find, is_taken, rehash

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
