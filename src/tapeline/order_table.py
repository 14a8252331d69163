"""Order id → resting order, in constant time.

Open addressing over buckets of two 32-byte slots, a cache line each, at most a quarter of the slots taken (half of them where there are more than 2^16: pages
count for more there). An id has a bucket where it belongs; it lies in one further down only if all buckets in between are full, and those are marked as
crowded. So a search looks at two slots, chooses between them without a branch, and goes on once in a hundred times, and what empties a slot has nothing to move
unless it is marked. Single slots with linear probing went on in one search of ten, and looked for something to move in one removal of six: each time a
mispredicted branch, 5 ns.

A removal from a crowded bucket moves the displaced back, so there are no tombstones. (To leave slots in place, and bound searches by the greatest displacement
ever seen, needs no moves, but every ADD looks whether its id is live already, and then has to walk up to that bound: 18 slots after 10 million records.)

A large table grows where it lies (`rehash`). A million orders took 63 ns a record so, and 90 or 260 where each size had memory of its own, as the system
gave it.
The prefetch of a coming record's bucket is worth 5 ns at 10 thousand live orders and 15 at a million.
"""

from typing import Any, Final

import numpy as np

from tapeline.jit import entry, kernel, leaf
from tapeline.memory import address_of, record_at, unseen
from tapeline.record import Record, int32, int64, uint8, uint32, uint64


class Slot(Record):
    """A resting order of history."""

    order_id: uint64
    priority: int64  # its stamp, > 0; 0: the slot is empty
    level: int32
    size: uint32
    filled: uint32  # what FILLs took since the order's last change
    side: uint8
    crowded: uint8  # 1: an order that belongs in this bucket, or before it, may lie behind it


SLOT: Final = Slot.dtype_
SLOT_SIZE: Final = SLOT.itemsize
_BUCKET_SIZE: Final = 2 * SLOT_SIZE
_FIBONACCI: Final[Any] = np.uint64(0x9E3779B97F4A7C15)
TABLE_BITS_MIN: Final = 6
SPARSE_BITS_MAX: Final = 16
"""Of tables at most a quarter full; larger ones are at most half full."""


class Table(Record):
    """An order table: `1 << bits` slots at an address."""

    slots: int64
    bits: int64
    shift: uint64  # of a hash, to the number of its bucket
    room: int64  # so many orders may still come before the table has to grow
    multiplier: uint64  # of ids: a load is shorter than a constant of 64 bits

    def lay(self, slots: int, bits: int) -> None:
        """Take `1 << bits` empty slots."""
        self.slots = slots
        self.bits = bits
        self.shift = 65 - bits
        self.room = 1 << bits >> (1 if bits > SPARSE_BITS_MAX else 2)
        self.multiplier = _FIBONACCI


@leaf
def bucket_address(table, order_id):
    """The address of the bucket where an id belongs."""
    return table.slots + np.int64(order_id * table.multiplier >> table.shift) * _BUCKET_SIZE


@leaf
def likely_slot(bucket, order_id):
    """The slot of an id, if it is in a bucket; otherwise one with another id."""
    return record_at(unseen(bucket if record_at(bucket, 0, SLOT).order_id == order_id else bucket + SLOT_SIZE), 0, SLOT)


@leaf
def _home(table, order_id):
    """Index of the first slot of the bucket where an id belongs."""
    return np.int64(order_id * table.multiplier >> table.shift) * 2


@leaf
def find(table, order_id):
    """Index of the slot of an id; if it is not there, the index of the empty slot where it would go: `is_taken` tells."""
    mask = (1 << table.bits) - 1
    place = _home(table, order_id)
    while True:
        first, second = record_at(table.slots, place, SLOT), record_at(table.slots, place + 1, SLOT)
        is_second = (second.priority != 0) & (second.order_id == order_id)
        if (first.priority == 0) | (first.order_id == order_id) | is_second:
            return place + is_second
        if second.priority == 0:
            return place + 1
        place = (place - 2) & mask


@leaf
def address_in(table, order_id):
    """The address of the slot of an id; 0 if it is not there. It is nearly always in its bucket."""
    bucket = bucket_address(table, order_id)
    while True:
        first, second = record_at(bucket, 0, SLOT), record_at(bucket, 1, SLOT)
        slot = record_at(bucket, np.int64(first.order_id != order_id), SLOT)
        if slot.order_id == order_id and slot.priority != 0:
            return address_of(slot)
        if first.priority == 0 or second.priority == 0:
            return np.int64(0)
        bucket = table.slots + ((bucket - table.slots - _BUCKET_SIZE) & ((SLOT_SIZE << table.bits) - 1))


@leaf
def is_full(table):
    """Whether as many slots are taken as may be: the table should grow."""
    return table.room <= 0


@leaf
def is_taken(table, place):
    """Whether a slot holds an order."""
    return record_at(table.slots, place, SLOT).priority != 0


@kernel
def enter(table, place, order_id):
    """Give an empty slot, as `find` found it, to an id. Its priority is for the caller to set."""
    slot = record_at(table.slots, place, SLOT)
    slot.order_id = order_id
    slot.crowded = 0
    table.room -= 1
    passed = _home(table, order_id)
    while passed != place & ~1:
        record_at(table.slots, passed, SLOT).crowded = 1
        record_at(table.slots, passed + 1, SLOT).crowded = 1
        passed = (passed - 2) & ((1 << table.bits) - 1)


@leaf
def erase(table, address):
    """Empty a slot."""
    hole = record_at(address, 0, SLOT)
    table.room += 1
    if hole.crowded:
        hole = record_at(_filled_hole(table, address), 0, SLOT)
    hole.priority = 0


@kernel
def _filled_hole(table, address):
    """Move what was displaced by a slot's order back into it, and what was displaced by that, and so on; the address of the slot that is free then."""
    mask = (1 << table.bits) - 1
    hole = record_at(address, 0, SLOT)
    at = bucket = (address - table.slots) // SLOT_SIZE & ~1
    goes_on = True
    while goes_on and hole.crowded:
        at = (at - 2) & mask
        for i in range(2):
            slot = record_at(table.slots, at + i, SLOT)
            if slot.priority == 0:
                goes_on = False
            elif (_home(table, slot.order_id) - at) & mask >= (bucket - at) & mask:
                _move(hole, slot)
                hole, bucket, goes_on = slot, at, True
                break
    return address_of(hole)


@leaf
def _move(to, slot):
    """Copy an order into another slot, which stays as crowded as it is."""
    to.order_id = slot.order_id
    to.priority = slot.priority
    to.level = slot.level
    to.size = slot.size
    to.filled = slot.filled
    to.side = slot.side


@kernel
def wipe(table):
    """Empty the whole table."""
    for i in range(1 << table.bits):
        record_at(table.slots, i, SLOT).priority = 0
    table.lay(table.slots, table.bits)


@leaf
def _taken_out(slot):
    """What a slot held; it is empty now."""
    order = slot.order_id, slot.priority, slot.level, slot.size, slot.filled, slot.side
    slot.priority = 0
    return order


@leaf
def _put(table, order):
    """Enter what `_taken_out` gave, if there was anything."""
    order_id, priority, level, size, filled, side = order
    if priority != 0:
        place = find(table, order_id)
        enter(table, place, order_id)
        slot = record_at(table.slots, place, SLOT)
        slot.priority = priority
        slot.level = level
        slot.size = size
        slot.filled = filled
        slot.side = side


@entry
def rehash(table, slots, bits):
    """Let a table lie in `1 << bits` slots at an address, more than it had, with all its orders. They are empty, but for the table's own if it stays there.

    What belongs in bucket k of the smaller table belongs in one of the buckets from 2k on in the larger one, and what was displaced lies below its own.
    So the buckets are emptied from the last to the first, and what was in them never finds its new place in one that is still to be emptied: those from the
    j-th on held at most two orders each, and have twice the room now. This needs that nothing has gone round the table's start (`goes_round`).
    """
    before, n = table.slots, 1 << table.bits
    table.lay(slots, bits)
    for i in range(n - 2, -2, -2):
        first = _taken_out(record_at(before, i, SLOT))
        second = _taken_out(record_at(before, i + 1, SLOT))
        _put(table, first)
        _put(table, second)


@entry
def goes_round(table):
    """Whether an order may lie at the table's end because there was no room at its start."""
    return record_at(table.slots, 0, SLOT).priority != 0 and record_at(table.slots, 0, SLOT).crowded != 0
