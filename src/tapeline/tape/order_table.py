"""Order id → resting order, in constant time.

Open addressing with linear probing over 32-byte slots, two to a cache line, at most a quarter of them taken: a search that goes on is a mispredicted branch,
and at a half there were so many that records took 5 ns longer (10 thousand live orders), though the table is twice as large. A deletion moves the displaced
back, so there are no tombstones and a search ends at the first empty slot. (To leave slots in place, and bound searches by the greatest displacement ever
seen, is 2-3 ns cheaper per deletion, but every ADD looks whether its id is live already, and then has to walk up to that bound: 18 slots after 10 million
records.) The prefetch of a coming record's slot is worth 5 ns at 10 thousand live orders and 15 at a million.
"""

from typing import Final

import numpy as np

from tapeline.jit import entry, kernel, leaf
from tapeline.memory import address_of, copy, record_at, view
from tapeline.record import Record, int32, int64, uint32, uint64


class Slot(Record):
    """A resting order of history."""

    order_id: uint64
    priority: int64  # its stamp, > 0; 0: the slot is empty
    level: int32
    size: uint32
    filled: uint32  # what FILLs took since the order's last change
    side: uint32


SLOT: Final = Slot.dtype_
SLOT_SIZE: Final = SLOT.itemsize
_FIBONACCI: Final = np.uint64(0x9E3779B97F4A7C15)
_ONE: Final = np.uint64(1)
TABLE_BITS_MIN: Final = 6


class Table(Record):
    """An order table: `1 << bits` slots at an address."""

    slots: int64
    bits: int64
    live: int64


@leaf
def home_of(table, order_id):
    """The slot where an id belongs."""
    return (order_id * _FIBONACCI) >> np.uint64(64 - table.bits)


@leaf
def slot_address(table, order_id):
    """Where the search for an id starts."""
    return table.slots + np.int64(home_of(table, order_id)) * SLOT_SIZE


@leaf
def find(table, order_id):
    """Index of the slot of an id; if it is not there, the index of the empty slot where it would go: `is_taken` tells."""
    mask = np.uint64((1 << table.bits) - 1)
    place = home_of(table, order_id)
    while True:
        slot = record_at(table.slots, np.int64(place), SLOT)
        # one branch: with two, which of them ends the search is as hard to predict as the action
        if (slot.priority == 0) | (slot.order_id == order_id):
            return np.int64(place)
        place = (place + _ONE) & mask


@leaf
def is_full(table):
    """Whether a quarter of the slots is taken: the table should grow."""
    return table.live * 4 >= 1 << table.bits


@leaf
def is_taken(table, place):
    """Whether a slot holds an order."""
    return record_at(table.slots, place, SLOT).priority != 0


def _erase(table, place):
    """Empty a slot, and move what was displaced by it back towards where it belongs, so that a search may stop at the first empty slot."""
    mask = np.uint64((1 << table.bits) - 1)
    hole = np.uint64(place)
    at = hole
    while True:
        at = (at + _ONE) & mask
        slot = record_at(table.slots, np.int64(at), SLOT)
        if slot.priority == 0:
            break
        if (at - home_of(table, slot.order_id)) & mask >= (at - hole) & mask:
            copy(address_of(record_at(table.slots, np.int64(hole), SLOT)), address_of(slot), SLOT_SIZE)
            hole = at
    record_at(table.slots, np.int64(hole), SLOT).priority = 0
    table.live -= 1


erase = leaf(_erase)
erase_rarely = kernel(_erase)
"""The same, as a call: its code is not repeated where it is seldom needed."""


@kernel
def wipe(table):
    """Empty the whole table."""
    slots = view(table.slots, 1 << table.bits, SLOT)
    for i in range(slots.shape[0]):
        slots[i].priority = 0
    table.live = 0


@entry
def rehash(old, new):
    """Copy all orders of a table into an empty, larger one."""
    slots = view(old.slots, 1 << old.bits, SLOT)
    for i in range(slots.shape[0]):
        slot = slots[i]
        if slot.priority != 0:
            copy(address_of(record_at(new.slots, find(new, slot.order_id), SLOT)), address_of(slot), SLOT_SIZE)
            new.live += 1
