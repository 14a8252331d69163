"""Goes to any moment of an indexed session: from the checkpoint before it, or on from where it is."""

from bisect import bisect_right
from typing import Any, Final, Literal

from tapeline.market.follow import NEVER
from tapeline.viewer.follower import Follower, Saved
from tapeline.viewer.index import Checkpoint, Index

READ_EVENTS: Final = 1 << 13
"""Tape events that are read at a time."""
Measure = Literal["events", "trades", "ts"]


class Player:
    """One place in one instrument's session. Not for several threads at once."""

    def __init__(self, index: Index) -> None:
        """At the beginning of the first instrument."""
        self._index = index
        self._follower = Follower(index.own)
        self._empty: list[Saved] = []
        self._x = 0
        self._instrument = -1
        self.replayed = 0
        """Tape events that the last move went through."""

    @property
    def seen(self) -> Any:
        """What was seen of the instrument's book by now: a `Seen`."""
        return self._follower.seen[self._instrument]

    @property
    def market(self) -> Any:
        """The instrument's market as the last event left it."""
        return self._follower.books.array[self._instrument].market

    def best(self, side: int, n: int) -> list[list[int]]:
        """Level, size and number of orders of the at most `n` best levels of a side."""
        rows: list[list[int]] = self._follower.books.best(self._instrument, side, n).tolist()
        return rows

    def to_event(self, instrument: int, number: int) -> None:
        """As event `number` left the book, from 1; the first or the last if there is none of that number. Where there is none at all, what a snapshot shows."""
        last = self._index.reach.events[instrument]
        if last == 0:
            self._move(instrument, "ts", int(NEVER) - 1)
        else:
            self._move(instrument, "events", max(min(number, last), 1))

    def to_trade(self, instrument: int, number: int) -> None:
        """After the event with trade `number`, from 1, which there is."""
        self._move(instrument, "trades", number)

    def to_time(self, instrument: int, ts: int) -> None:
        """As the last event at or before a time left the book; the first event if there is none."""
        self._move(instrument, "ts", ts)
        seen = self.seen
        if int(seen.tape_n) != int(seen.tape_ended) or int(seen.events) == 0:  # a snapshot, or the start of an event that is not all there
            self.to_event(instrument, int(seen.events))

    def _move(self, instrument: int, by: Measure, value: int) -> None:
        self.replayed = 0
        self._open()
        reach = self._index.reach
        checkpoints = self._index.checkpoints
        place = bisect_right(checkpoints, value - (by != "ts"), key=lambda c: getattr(self._of(c, instrument), by))
        before = checkpoints[place - 1] if place else None
        if instrument != self._instrument or not self._is_before(by, value) or (before is not None and before.x > self._x):
            self._instrument = instrument
            self._x = before.x if before is not None else 0
            self._follower.restore(instrument, self._of(before, instrument) if before is not None else self._empty[instrument])
        if by != "ts" and int(getattr(self.seen, by)) >= value:
            return
        self._follower.limit(instrument, **{by: value})
        while self._x < reach.tape_n:
            rows = self._index.spill.read(self._x, min(READ_EVENTS, reach.tape_n - self._x))
            self._follower.give(rows.ctypes.data)
            is_there = self._follower.go(len(rows))
            self._x += int(self._follower.state.x)
            self.replayed += int(self._follower.state.x)
            if is_there:
                return

    def _open(self) -> None:
        """Books for what has appeared since."""
        for instrument in self._index.instruments[len(self._empty) :]:
            self._follower.open(instrument)
            self._empty.append(self._follower.save(instrument.index))

    def _of(self, checkpoint: Checkpoint, instrument: int) -> Saved:
        return checkpoint.books[instrument] if instrument < len(checkpoint.books) else self._empty[instrument]

    def _is_before(self, by: Measure, value: int) -> bool:
        """Whether the way leads forward from here."""
        seen = self.seen
        if by == "ts":
            return int(seen.clock) <= value
        reached = int(getattr(seen, by))
        return reached < value or (by == "events" and reached == value and int(seen.tape_n) == int(seen.tape_ended))
