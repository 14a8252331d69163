"""What must hold at the end of every run, whatever was traded; checked while its Result is made. A broken one is a bug of Tapeline's, and is told as such.

The queue ahead of an order is checked at each of its changes, by the engines themselves: it never falls below zero.

Journals are checked in parts, as they are made frames of: then each is in a cache, and its fields are columns.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from tapeline.columns import Columns, Ints, Records, kernels
from tapeline.constants import Status
from tapeline.errors import InvariantError
from tapeline.frames import signed_size
from tapeline.instruments import Instrument

_SUMS: Final = ("position", "cash", "maker_lots", "taker_lots", "maker_notional", "taker_notional")


class AccountCheck:
    """That each row's last equity sample in each instrument follows from its fills, in exact integers.

    Position = Σ s and cash = −Σ s·p in ticks for signed lots s at ticks p; lots and notionals by liquidity likewise.
    """

    def __init__(self, rows_n: int, instruments: Sequence[Instrument]) -> None:
        """Nothing is traded yet."""
        self._instruments, self._places = instruments, max(len(instruments), 1)
        self._grid = np.array([i.grid for i in instruments], np.int64)
        self._traded = {name: np.zeros(rows_n * self._places, np.int64) for name in _SUMS}
        self._sampled = {name: np.zeros(rows_n * self._places, np.int64) for name in _SUMS}

    def add_fills(self, fills: Columns) -> Ints:
        """Take in the next fills, by row, in order of time; the position after each of them. Raises InvariantError."""
        ticks, off_grid = np.divmod(fills["price"], self._grid[fills["instrument"]])
        if off_grid.any():
            raise InvariantError(f"fill of order {fills['order_id'][off_grid != 0][0]} at a price off the grid of its instrument")
        cells = self._cells(fills)
        order = np.argsort(cells, kind="stable")
        starts = np.flatnonzero(np.diff(cells[order], prepend=-1))
        which = cells[order[starts]]
        lots, size, maker = signed_size(fills), fills["size"], fills["is_maker"]
        position = self._running(lots[order], starts, self._traded["position"][which])
        notional = size * np.abs(ticks)
        parts = {
            "position": lots,
            "cash": -lots * ticks,
            "maker_lots": size * maker,
            "taker_lots": size * ~maker,
            "maker_notional": notional * maker,
            "taker_notional": notional * ~maker,
        }
        for name, part in parts.items():
            if len(starts):
                self._traded[name][which] += np.add.reduceat(part[order], starts)
        out = np.empty(len(fills), np.int64)
        out[order] = position
        return out

    def add_samples(self, equity: Columns) -> None:
        """Take in the next samples, by row, in order of time."""
        cells = self._cells(equity)
        for name, sampled in self._sampled.items():
            sampled[cells] = equity[name]  # the last assignment stays

    def finish(self) -> None:
        """All was taken in. Raises InvariantError."""
        for name, traded in self._traded.items():
            sampled = self._sampled[name]
            wrong = np.flatnonzero(traded != sampled)
            if len(wrong):
                row, place = divmod(int(wrong[0]), self._places)
                raise InvariantError(
                    f"row {row}, {self._instruments[place].symbol or self._instruments[place].instrument_id}: the fills make {name} {traded[wrong[0]]}, "
                    f"the last equity sample says {sampled[wrong[0]]}; please report this as a bug"
                )

    def _cells(self, part: Columns) -> Ints:
        return np.asarray(part["row"].astype(np.int64) * self._places + part["instrument"])

    @staticmethod
    def _running(lots: Ints, starts: Ints, before: Ints) -> Ints:
        """Sums of lots in runs that begin at `starts`, with what was there before."""
        total = np.cumsum(lots)
        skipped: Ints = np.concatenate(([0], total))[starts] - before
        return total - np.repeat(skipped, np.diff(starts, append=len(lots)))


class OrderCheck:
    """That what each order says it has filled is the sum of its fills, that no order fills more than its size, and that FILLED means filled."""

    def __init__(self, fills: Records) -> None:
        """The orders' fills, all of them."""
        rows, ids = np.ascontiguousarray(fills["row"]), np.ascontiguousarray(fills["order_id"])
        self._ends = np.zeros(int(rows.max(initial=0)) + 1, np.int64)
        np.maximum.at(self._ends, rows, ids + 1)
        self._first = np.cumsum(self._ends) - self._ends
        self._traded = np.zeros(int(self._ends.sum()), np.int64)
        """By row and number, since a row's orders are numbered from 1; what orders say they have filled is taken from it."""
        np.add.at(self._traded, self._first[rows] + ids, fills["size"])

    def add_orders(self, orders: Columns) -> None:
        """Check some orders. Raises InvariantError."""
        rows, ids, filled = orders["row"], orders["order_id"], orders["filled"]
        sums = (self._first.ctypes.data, self._ends.ctypes.data, len(self._ends), self._traded.ctypes.data)
        wrong = kernels().settle(rows.ctypes.data, ids.ctypes.data, filled.ctypes.data, len(orders), *sums)
        if wrong < len(orders):
            self._tell(int(rows[wrong]), int(ids[wrong]), int(filled[wrong]))
        size, status, ahead = orders["size"], orders["status"], orders["ahead_at_end"]
        broken = (filled > size) | ((status == Status.FILLED) & (filled != size)) | (ahead < -1)
        broken &= status != Status.REJECTED  # of any size, negative ones too
        for i in np.flatnonzero(broken)[:1]:
            raise InvariantError(
                f"row {rows[i]}, order {ids[i]} of {size[i]} lots ended as {Status(status[i]).name} with {filled[i]} filled "
                f"and {ahead[i]} ahead; please report this as a bug"
            )

    def finish(self) -> None:
        """All orders were checked: no fill is left over. Raises InvariantError."""
        for place in np.flatnonzero(self._traded)[:1]:
            row = int(np.searchsorted(self._first, place, "right")) - 1
            self._tell(row, int(place - self._first[row]), 0)

    def _tell(self, row: int, order_id: int, says: int) -> None:
        is_known = row < len(self._ends) and order_id < self._ends[row]
        trades = says + int(self._traded[self._first[row] + order_id]) if is_known else 0
        raise InvariantError(f"row {row}, order {order_id}: its fills sum to {trades}, the order says {says}; please report this as a bug")
