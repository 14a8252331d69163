"""Order id → resting order, in constant time.

Open addressing with linear probing over 32-byte slots, two to a cache line. Deleting empties the slot in place: slots never move, no tombstones are
left, and a search gives up after the greatest displacement that any insertion ever needed. Measured 2-3 ns an event better than
backward shifting and far better than tombstones; the prefetch of a coming record's slot is worth 1-2 ns at 10 thousand live orders and 15 at a million.
"""

from typing import Final

import numpy as np

from tapeline.jit import entry, kernel
from tapeline.memory import record_at, view
from tapeline.record import Record, int32, int64, uint32, uint64


class Slot(Record):
    """A resting order of history."""

    order_id: uint64
    size: int64
    priority: int64  # its stamp, > 0; 0: the slot is empty; negative for asks, so that the sign tells the side
    level: int32
    filled: uint32  # what FILLs took since the order's last change


SLOT: Final = Slot.dtype_
SLOT_SIZE: Final = SLOT.itemsize
_FIBONACCI: Final = np.uint64(0x9E3779B97F4A7C15)
_ONE: Final = np.uint64(1)
TABLE_BITS_MIN: Final = 6


class Table(Record):
    """An order table: `1 << bits` slots at an address, at most half of them taken."""

    slots: int64
    bits: int64
    live: int64
    displacement_max: int64


@kernel
def slot_address(table, order_id):
    """Where the search for an id starts."""
    return table.slots + np.int64((order_id * _FIBONACCI) >> np.uint64(64 - table.bits)) * SLOT_SIZE


@kernel
def find(table, order_id):
    """Index of the slot of an id; -1 if it is not there."""
    mask = np.uint64((1 << table.bits) - 1)
    place = (order_id * _FIBONACCI) >> np.uint64(64 - table.bits)
    for _ in range(table.displacement_max + 1):
        slot = record_at(table.slots, np.int64(place), SLOT)
        if slot.order_id == order_id and slot.priority != 0:
            return np.int64(place)
        place = (place + _ONE) & mask
    return np.int64(-1)


@kernel
def insert(table, order_id):
    """Index of a free slot for an id that is not there; the caller has seen to it that half of the slots are free."""
    mask = np.uint64((1 << table.bits) - 1)
    place = (order_id * _FIBONACCI) >> np.uint64(64 - table.bits)
    displacement = 0
    while record_at(table.slots, np.int64(place), SLOT).priority != 0:
        place = (place + _ONE) & mask
        displacement += 1
    table.displacement_max = max(table.displacement_max, displacement)
    table.live += 1
    record_at(table.slots, np.int64(place), SLOT).order_id = order_id
    return np.int64(place)


@kernel
def erase(table, place):
    """Empty a slot."""
    record_at(table.slots, place, SLOT).priority = 0
    table.live -= 1


@kernel
def wipe(table):
    """Empty the whole table."""
    slots = view(table.slots, 1 << table.bits, SLOT)
    for i in range(slots.shape[0]):
        slots[i].priority = 0
    table.live = 0
    table.displacement_max = 0


@entry
def rehash(old, new):
    """Copy all orders of a table into an empty, larger one."""
    slots = view(old.slots, 1 << old.bits, SLOT)
    for i in range(slots.shape[0]):
        slot = slots[i]
        if slot.priority != 0:
            to = record_at(new.slots, insert(new, slot.order_id), SLOT)
            to.size = slot.size
            to.priority = slot.priority
            to.level = slot.level
            to.filled = slot.filled
