"""The floor, and what an order lookup costs; compiled."""

import numpy as np

from tapeline.jit import entry
from tapeline.memory import record_at, unseen
from tapeline.order_table import SLOT, enter, find
from tapeline.record import Record, uint64
from tapeline.tape.records import MBO_RECORD


class Id(Record):
    """One order id."""

    value: uint64


ID = Id.dtype_


@entry
def floor(address, n, stride):
    """Stream `n` records and read four fields: what nothing that looks at every record can beat.

    `unseen`, so that LLVM does not make gathers of it, which take four times as long (7.6 against 2.0 ns a record on a Zen 4) as the processor does not
    read ahead for them.
    """
    total = np.int64(0)
    for i in range(n):
        record = record_at(address + i * stride, 0, MBO_RECORD)
        total += unseen(record.ts_event) ^ record.price ^ np.int64(record.order_id) ^ np.int64(record.size)
    return total


@entry
def look_up_linear(ids, n_ids, wanted, n):
    """Before: the place of each wanted id, sought from the start of a list. A checksum of the places."""
    total = np.int64(0)
    for k in range(n):
        order_id = record_at(wanted, k, ID).value
        i = 0
        while i < n_ids and record_at(ids, i, ID).value != order_id:
            i += 1
        total += i
    return total


@entry
def look_up_hashed(table, wanted, n):
    """After: the same by the normaliser's order table, whose slots' `level` holds the place."""
    total = np.int64(0)
    for k in range(n):
        total += record_at(table.slots, find(table, record_at(wanted, k, ID).value), SLOT).level
    return total


@entry
def fill_table(table, ids, n_ids):
    """Enter the ids, each with its place."""
    for i in range(n_ids):
        order_id = record_at(ids, i, ID).value
        place = find(table, order_id)
        enter(table, place, order_id)
        slot = record_at(table.slots, place, SLOT)
        slot.priority = i + 1
        slot.level = i
    return 0
