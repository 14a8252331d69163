"""The Python side of `market.follow`: books, what was seen of them, and our orders in them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tapeline.config import Limits
from tapeline.constants import Feature
from tapeline.instruments import Instrument
from tapeline.jit import going
from tapeline.market.book import DONE
from tapeline.market.books import Books, BookState, Looks, set_plan
from tapeline.market.features import bits_of
from tapeline.market.follow import NEVER, OWN, OWN_OFFSET, OWN_TABLE, THERE, Follow, Seen, follow

Rows = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Saved:
    """One book of a checkpoint, and what had been seen of it."""

    book: BookState
    seen: Rows
    """Its bytes, up to the last of our orders."""
    events: int
    trades: int
    ts: int
    """The clock."""
    tape_n: int

    @property
    def nbytes(self) -> int:
        """About what it takes."""
        return self.book.nbytes + self.seen.nbytes


class Follower:
    """Books that are moved along tape events."""

    def __init__(self, own: Mapping[int, Rows]) -> None:
        """No books yet. `own`: per index of an instrument our orders there, `OWN` records in order of their arrival."""
        self.state = Follow.array(1)[0]
        self._follow = going(follow, self.state)
        self._keep: list[Any] = []
        self._own = own
        set_plan(self.state.plan, [Looks(features=bits_of(*Feature))], self._keep)
        self.books = Books(self.state.plan, Limits().ladder_levels_max)
        self._unseen = Seen.array(1)
        self.seen: Rows = self._unseen.repeat(4)
        self._tables = np.zeros(4, OWN_TABLE)

    def open(self, instrument: Instrument) -> None:
        """An empty book for the next instrument."""
        self.books.open(instrument)
        if instrument.index >= len(self.seen):
            self.seen = np.concatenate([self.seen, self._unseen.repeat(len(self.seen))])
            self._tables = np.concatenate([self._tables, np.zeros_like(self._tables)])
        own = self._own.get(instrument.index, np.zeros(0, OWN))
        self._keep.append(own)
        self._tables[instrument.index]["first"], self._tables[instrument.index]["n"] = own.ctypes.data, len(own)
        self.state.books, self.state.seen, self.state.own = self.books.address, self.seen.ctypes.data, self._tables.ctypes.data

    def give(self, address: int) -> None:
        """Tape events to go through from now on."""
        self.state.events, self.state.x, self.state.n = address, 0, 0

    def go(self, n: int) -> bool:
        """Up to number `n` of the tape events given; whether it stopped where it was told to."""
        self.state.n = n
        while (status := self._follow()) != DONE:
            if status == THERE:
                return True
            self.books.make_room(int(self.state.room_instrument), int(self.state.room_side), int(self.state.room_level))
        return False

    def limit(self, only: int, **until: int) -> None:
        """Follow one instrument, up to a number of `events` or `trades`, or a time `ts`."""
        self.state.only = only
        for name in ("events", "trades", "ts"):
            setattr(self.state, f"until_{name}", until.get(name, NEVER))

    def save(self, index: int) -> Saved:
        """A book, and what was seen of it."""
        seen = self.seen[index : index + 1]
        used = int(OWN_OFFSET) + int(seen["own_n"][0]) * OWN.itemsize
        numbers = {name: int(seen[name][0]) for name in ("events", "trades", "tape_n")}
        return Saved(self.books.save(index), seen.view(np.uint8)[:used].copy(), ts=int(seen["clock"][0]), **numbers)

    def restore(self, index: int, saved: Saved) -> None:
        """A book as it was saved, be it by another Follower."""
        self.books.restore(index, saved.book)
        self.seen[index : index + 1].view(np.uint8)[: len(saved.seen)] = saved.seen
        self.state.applied = 0
