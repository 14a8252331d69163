"""The Python side of `market.fifo`: owns its tables, and gives the share of fills that were first in their queue."""

from typing import Any

import numpy as np

from tapeline.jit import going
from tapeline.market import fifo as kernels
from tapeline.market.fifo import BOOK_EVENTS, FREE_MIN, PENDING, PENDING_MAX, RESTING, Fifo, count_fifo
from tapeline.order_table import SLOT, TABLE_BITS_MIN, rehash


class FifoCount:
    """Counts, tape event by tape event, the fills of resting orders, and those of them that hit the front of their queue."""

    def __init__(self, enough: int | None = None) -> None:
        """Nothing counted yet. After `enough` fills no more are counted; None: all are."""
        self._enough = enough
        self._keep: dict[str, Any] = {}
        self._state = state = Fifo.array(1)[0]
        self._count = going(count_fifo, state)
        self._orders = np.zeros(1, RESTING)
        self._books = np.zeros(0, BOOK_EVENTS)
        self._pending = np.zeros(PENDING_MAX, PENDING)
        state.pending = self._pending.ctypes.data
        state.orders_n = 1
        self._more_orders(4 * FREE_MIN)
        for name in ("stamps", "levels"):
            self._give_slots(name, TABLE_BITS_MIN)

    @property
    def fills(self) -> int:
        """Executions of orders that were in the book, as far as they were displayed."""
        return int(self._state.fills)

    @property
    def first(self) -> int:
        """Those of them that hit the front of their queue."""
        return int(self._state.first)

    @property
    def share(self) -> float | None:
        """The share of them that did; None if there is none."""
        return self.first / self.fills if self.fills else None

    def take(self, address: int, n: int, books: int) -> None:
        """Count `n` tape events that lie at an address, of at most `books` books."""
        if self._enough is not None and self.fills >= self._enough:
            return
        state = self._state
        if books > len(self._books):
            self._books = np.concatenate([self._books, np.zeros(books, BOOK_EVENTS)])
            state.books = self._books.ctypes.data
        state.events, state.n, state.x = address, n, 0
        while (status := self._count()) != kernels.DONE:
            if status == kernels.MORE_ORDERS:
                self._more_orders(len(self._orders))
            else:
                self._grow("stamps" if status == kernels.MORE_STAMPS else "levels")

    def _more_orders(self, more: int) -> None:
        """Room for more orders; it comes behind the places that are free."""
        state, n = self._state, len(self._orders)
        self._orders = np.concatenate([self._orders, np.zeros(more, RESTING)])
        self._orders["next"][n : n + more] = np.arange(n + 1, n + more + 1)
        if int(state.free_n):
            self._orders[int(state.free_last)]["next"] = n
        else:
            state.free = n
        state.free_last, state.free_n, state.orders_n = n + more - 1, int(state.free_n) + more, n + more
        state.orders = self._orders.ctypes.data

    def _give_slots(self, name: str, bits: int) -> None:
        table = getattr(self._state, name)
        self._keep[name] = slots = np.zeros(1 << bits, SLOT)
        table.lay(slots.ctypes.data, bits)

    def _grow(self, name: str) -> None:
        """Twice the slots for a table."""
        table = getattr(self._state, name)
        bits = int(table.bits) + 1
        slots = np.zeros(1 << bits, SLOT)
        rehash(table, slots.ctypes.data, bits)
        self._keep[name] = slots
