"""What is done with each record of the journals when a run is over: see columns.py and invariants.py."""

import numpy as np

from tapeline.jit import entry
from tapeline.memory import prefetch, record_at
from tapeline.record import Record, int32, int64
from tapeline.tape.records import COUNTER

_WORD, _AHEAD = np.int64(8), np.int64(8)


class Number(Record):
    """A field of four bytes."""

    n: int32


class Tally(Record):
    """What a row has of a journal: how many records, their least and greatest key; and where the next of them goes."""

    n: int64
    least: int64
    most: int64
    place: int64


NUMBER, TALLY = Number.dtype_, Tally.dtype_


@entry
def tally(rows, keys, size, n, tallies):
    """Count the records of each row, whose rows and keys lie `size` bytes apart. Whether the keys of each come in order."""
    is_in_order = True
    for i in range(n):
        key = record_at(keys + i * size, 0, COUNTER).n
        of_row = record_at(tallies, np.int64(record_at(rows + i * size, 0, NUMBER).n), TALLY)
        is_in_order &= key >= of_row.most
        of_row.n += 1
        of_row.least = min(of_row.least, key)
        of_row.most = max(of_row.most, key)
    return is_in_order


@entry
def seat(rows, keys, size, n, tallies, by_key, seats):  # noqa: PLR0913, PLR0917 - addresses and numbers
    """Write the number of each record (from 1) to its seat: the next of its row, or the one of its key. Whether no two had the same."""
    for i in range(n):
        of_row = record_at(tallies, np.int64(record_at(rows + i * size, 0, NUMBER).n), TALLY)
        place = of_row.place
        if by_key:
            place += record_at(keys + i * size, 0, COUNTER).n - of_row.least
        else:
            of_row.place += 1
        its_seat = record_at(seats, place, COUNTER)
        if its_seat.n != 0:
            return False
        its_seat.n = i + 1
    return True


@entry
def turn(records, words, order, n, columns, step):  # noqa: PLR0913, PLR0917 - same
    """Word k of record order[i], of those at an address, becomes number i of column k, `step` bytes behind the one before."""
    size = _WORD * words
    for i in range(n):
        coming = records + size * record_at(order, min(i + _AHEAD, n - 1), COUNTER).n
        prefetch(coming)
        prefetch(coming + 64)
        record = records + size * record_at(order, i, COUNTER).n
        for k in range(words):
            record_at(columns + step * k, i, COUNTER).n = record_at(record, k, COUNTER).n


@entry
def settle(rows, ids, filled, n, firsts, ends, rows_n, traded):  # noqa: PLR0913, PLR0917 - same
    """Take what orders say they have filled from what fills sum to, by row and number. The first order that leaves anything; n: none.

    The sums of a row's orders begin at number firsts[row] of `traded`, and there are ends[row].
    """
    for i in range(n):
        row, order_id = np.int64(record_at(rows, i, NUMBER).n), record_at(ids, i, COUNTER).n
        lots = record_at(filled, i, COUNTER).n
        if row < rows_n and order_id < record_at(ends, row, COUNTER).n:
            of_order = record_at(traded, record_at(firsts, row, COUNTER).n + order_id, COUNTER)
            of_order.n -= lots
            lots = of_order.n
        if lots != 0:
            return i
    return n
