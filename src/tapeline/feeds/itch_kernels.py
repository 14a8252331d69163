"""ITCH 5.0 messages made into MBO records, as Databento does it (Databento, "Nasdaq TotalView-ITCH: MBO normalization"). Compiled.

A message lies behind its length, two bytes; numbers are big-endian. It starts with its type, the number that its instrument has that day (the locate), a
tracking number, and its time in nanoseconds since midnight (Nasdaq, "TotalView-ITCH 5.0").
"""
# Numba infers the types of kernels and mypy cannot see them; and `x == A or x == B` compiles to two compares, `x in (A, B)` to a tuple:
# ruff: noqa: ANN001, ANN201, ANN202, PLR1714, SIM109
# mypy: ignore-errors

from typing import Final

import numpy as np

from tapeline.constants import PRICE_SCALE, UNDEFINED_PRICE, Action, RecordFlag, Side
from tapeline.feeds.dbn_kernels import MBO_RTYPE, MBO_WORDS, SIZE_MAX
from tapeline.jit import entry, kernel, leaf
from tapeline.memory import load_u64, prefetch, record_at
from tapeline.order_table import SLOT, Table, address_in, bucket_address, enter, erase, find, is_full, is_taken
from tapeline.record import Record, int64
from tapeline.schema import MBO

MORE: Final = 0
"""The data ends, perhaps inside a message."""
ROOM: Final = 1
"""What was written has to be taken away first."""
TABLE: Final = 2
"""The order table has to grow first."""
BAD: Final = 3
"""What follows is no message of ITCH 5.0."""
CHANGES: Final = 4
"""What was noted of trading states has to be taken away first."""

LENGTHS: Final = np.zeros(256, np.int64)
"""Of the messages, by type; 0: there is no such type."""
for _kind, _length in zip(
    b"SRHYLVWKJhAFECXDUPQBINO", (12, 39, 25, 20, 26, 35, 12, 28, 35, 21, 36, 40, 31, 36, 23, 19, 35, 44, 40, 19, 50, 20, 48), strict=True
):
    LENGTHS[_kind] = _length
BYTES_BEHIND: Final = 32
"""Of any number eight bytes are read, and of a message to come the reference that it may have: there have to be some behind the data."""
_AHEAD: Final = 8
"""So many messages before its turn, an order's place in the table is asked for: a hundred thousand orders took half of the time so."""
RECORDS_MAX: Final = 3
"""That a message becomes."""
UNWANTED, UNSEEN, SEEN = 0, 1, 2
"""What is known of a locate: nobody wants its instrument; somebody does; and its book has been opened."""
PRICE_UNIT: Final = PRICE_SCALE // 10_000
"""What 1 of a price is worth."""
PUBLISHER_ID: Final = 2
"""Databento's number of Nasdaq."""
_LAST: Final = int(RecordFlag.LAST)
_NOBODY: Final = np.uint64(0)
"""Whose order it is that trades is not told."""
(
    _DIRECTORY, _ADD, _ADD_ATTRIBUTED, _EXECUTED, _EXECUTED_AT, _CANCEL, _DELETE, _REPLACE, _TRADE, _CROSS, _STATE, _BUY, _SELL, _NO,
) = (np.uint8(c) for c in b"RAFECXDUPQHBSN")  # fmt: skip


class StateChange(Record):
    """From a time on an instrument is in a trading state."""

    ts: int64
    instrument: int64
    state: int64  # Nasdaq's letter: H is a halt, P a pause, Q quotation only, T trading


STATE_CHANGE: Final = StateChange.dtype_


class Itch(Record):
    """A file in translation: where it has got to, the message at hand, what was counted, and the orders that rest, by reference."""

    table: Table  # of a slot, `priority` is the price, which is never 0
    position: int64  # address of the next message
    end: int64  # of those that there are
    out: int64  # schema.MBO
    room: int64  # records that `out` holds
    written: int64
    changes: int64  # STATE_CHANGE
    changes_room: int64  # that `changes` holds
    changes_n: int64
    midnight: int64
    messages: int64
    ts: int64
    instrument: int64
    price: int64
    flags: int64
    messages_unknown: int64  # of a type that ITCH 5.0 has not
    orders_unreadable: int64  # left out: of no side, price or size
    adds_of_live_reference: int64
    references_unknown: int64  # of messages about orders that never came, left out
    sizes_oversized: int64  # more was cancelled or executed than there was


@leaf
def _number(place, width):
    """The whole number of some bytes, the first of which is the highest."""
    x = load_u64(place)
    x = (x & np.uint64(0x00FF00FF00FF00FF)) << np.uint64(8) | (x >> np.uint64(8)) & np.uint64(0x00FF00FF00FF00FF)
    x = (x & np.uint64(0x0000FFFF0000FFFF)) << np.uint64(16) | (x >> np.uint64(16)) & np.uint64(0x0000FFFF0000FFFF)
    return (x << np.uint64(32) | x >> np.uint64(32)) >> np.uint64(64 - 8 * width)


@leaf
def _whole(place, width):
    return np.int64(_number(place, width))


@leaf
def _letter(place):
    return np.uint8(load_u64(place) & np.uint64(255))


@leaf
def _next(itch, place):
    """Where the message behind that at a place begins, with its order's place in the table asked for; the place itself, where the data ends."""
    if place + 2 > itch.end:
        return place
    prefetch(bucket_address(itch.table, _number(place + 13, 8)))
    if _letter(place + 2) == _REPLACE:
        prefetch(bucket_address(itch.table, _number(place + 21, 8)))
    return place + 2 + _whole(place, 2)


@leaf
def _lacking(itch):
    """What has to be done before any message can be translated: ROOM, TABLE or CHANGES; MORE: nothing."""
    if itch.room - itch.written < RECORDS_MAX:
        return ROOM
    if is_full(itch.table):
        return TABLE
    return CHANGES if itch.changes_n == itch.changes_room else MORE


@entry
def translate(itch, wanted, kinds):
    """Make records of the whole messages that there are; `wanted`: what is known of each locate, `kinds`: messages by type. Says why it stopped."""
    coming = itch.position
    for _ in range(_AHEAD):
        coming = _next(itch, coming)
    while itch.position + 2 <= itch.end:
        coming = _next(itch, coming)
        message = itch.position + 2
        length = _whole(itch.position, 2)
        if message + length > itch.end:
            break
        lacking = _lacking(itch)
        if lacking != MORE:
            return lacking
        if length > 0:  # else a mark of some files' end
            kind = _letter(message)
            if LENGTHS[kind] == 0:
                itch.messages_unknown += 1
            elif LENGTHS[kind] != length:
                return BAD
            else:
                itch.instrument = _whole(message + 1, 2)
                if wanted[itch.instrument] != UNWANTED:
                    itch.ts = itch.midnight + _whole(message + 5, 6)
                    _translate(itch, message, kind, wanted)
            kinds[kind] += 1
        itch.messages += 1
        itch.position = message + length
    return MORE


@kernel
def _translate(itch, message, kind, wanted):
    """Write what a message becomes, and keep the table."""
    itch.flags = _LAST
    if kind == _ADD or kind == _ADD_ATTRIBUTED:
        _add(itch, message)
    elif kind == _DELETE or kind == _CANCEL:
        _cancel(itch, message, kind)
    elif kind == _EXECUTED or kind == _EXECUTED_AT:
        _execute(itch, message, kind)
    elif kind == _REPLACE:
        _replace(itch, message)
    elif kind == _TRADE:
        itch.price = _whole(message + 32, 4) * PRICE_UNIT
        _write(itch, Action.TRADE, _NOBODY, Side.NONE, _whole(message + 20, 4))
    elif kind == _CROSS:
        size = _number(message + 11, 8)
        itch.price = _whole(message + 27, 4) * PRICE_UNIT
        if size != 0:  # else a cross in which nobody traded
            _write(itch, Action.TRADE, _NOBODY, Side.NONE, np.int64(min(size, np.uint64(SIZE_MAX))))
    elif kind == _STATE:
        change = record_at(itch.changes, itch.changes_n, STATE_CHANGE)
        change.ts, change.instrument, change.state = itch.ts, itch.instrument, np.int64(_letter(message + 19))
        itch.changes_n += 1
    elif kind == _DIRECTORY and wanted[itch.instrument] == UNSEEN:
        wanted[itch.instrument] = SEEN
        itch.price = UNDEFINED_PRICE
        _write(itch, Action.CLEAR, _NOBODY, Side.NONE, 0)


@leaf
def _add(itch, message):
    letter = _letter(message + 19)
    itch.price = _whole(message + 32, 4) * PRICE_UNIT
    if letter == _BUY or letter == _SELL:
        _join(itch, _number(message + 11, 8), np.int64(Side.BID if letter == _BUY else Side.ASK), _whole(message + 20, 4))
    else:
        itch.orders_unreadable += 1


@kernel
def _join(itch, reference, side, size):
    """An order comes to rest, at the message's price."""
    if itch.price == 0 or size == 0:
        itch.orders_unreadable += 1
        return
    place = find(itch.table, reference)
    if is_taken(itch.table, place):
        itch.adds_of_live_reference += 1
    else:
        enter(itch.table, place, reference)
    slot = record_at(itch.table.slots, place, SLOT)
    slot.priority = itch.price
    slot.side = side
    slot.size = size
    _write(itch, Action.ADD, reference, side, size)


@kernel
def _known(itch, reference):
    """The address of the slot of an order that rests, whose price is the message's then; 0, and counted, if there is none."""
    address = address_in(itch.table, reference)
    if address == 0:
        itch.references_unknown += 1
    else:
        itch.price = record_at(address, 0, SLOT).priority
    return address


@leaf
def _cancel(itch, message, kind):
    address = _known(itch, _number(message + 11, 8))
    if address != 0:
        _take(itch, address, _whole(message + 19, 4) if kind == _CANCEL else np.int64(record_at(address, 0, SLOT).size))


@leaf
def _execute(itch, message, kind):
    """A trade, unless it is printed elsewhere, the fill, and what the order lost."""
    address = _known(itch, _number(message + 11, 8))
    if address == 0:
        return
    slot = record_at(address, 0, SLOT)
    size, side, is_printed = _whole(message + 19, 4), np.int64(slot.side), True
    if kind == _EXECUTED_AT:
        itch.price = _whole(message + 32, 4) * PRICE_UNIT
        is_printed = _letter(message + 31) != _NO
    if is_printed:
        _write(itch, Action.TRADE, _NOBODY, np.int64(Side.BID + Side.ASK) - side, size)
    _write(itch, Action.FILL, slot.order_id, side, size)
    itch.price = slot.priority
    _take(itch, address, size)


@leaf
def _replace(itch, message):
    """The order is gone, and another comes, on the same side, behind all at its price."""
    address = _known(itch, _number(message + 11, 8))
    if address == 0:
        return
    slot = record_at(address, 0, SLOT)
    side = np.int64(slot.side)
    itch.flags = 0
    _take(itch, address, np.int64(slot.size))
    itch.flags = _LAST
    itch.price = _whole(message + 31, 4) * PRICE_UNIT
    _join(itch, _number(message + 19, 8), side, _whole(message + 27, 4))


@kernel
def _take(itch, address, size):
    """An order that rests loses some of its size, or all."""
    slot = record_at(address, 0, SLOT)
    left = np.int64(slot.size) - size
    _write(itch, Action.CANCEL, slot.order_id, slot.side, size)
    if left > 0:
        slot.size = left
        return
    if left < 0:
        itch.sizes_oversized += 1
    erase(itch.table, address)


@kernel
def _write(itch, action, order_id, side, size):
    """A record at the message's time and price."""
    record = record_at(itch.out, itch.written, MBO)
    itch.written += 1
    record["length"] = MBO_WORDS
    record["rtype"] = MBO_RTYPE
    record["publisher_id"] = PUBLISHER_ID
    record["instrument_id"] = itch.instrument
    record["ts_event"] = itch.ts
    record["order_id"] = order_id
    record["price"] = itch.price
    record["size"] = size
    record["flags"] = itch.flags
    record["channel_id"] = 0
    record["action"] = action
    record["side"] = side
    record["ts_recv"] = itch.ts
    record["ts_in_delta"] = 0
    record["sequence"] = (itch.messages + 1) & 0xFFFFFFFF
