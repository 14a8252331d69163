"""What is to happen, and when: one queue for both clocks, ordered by (time, class, order of creation)."""

import heapq
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from tapeline.reference.market import Notice
from tapeline.reference.messages import Request
from tapeline.reference.venue import Answer

if TYPE_CHECKING:
    from tapeline.reference.publisher import Group
    from tapeline.reference.row import Row


class Due(IntEnum):
    """Classes: which of two things at the same time comes first."""

    ARRIVAL = 0
    RESPONSE = 1
    MARKET = 2
    PHASE = 3
    TIMER = 4


@dataclass(slots=True, eq=False)
class Arrival:
    """A request reaches the exchange at `time`."""

    time: int
    row: "Row"
    request: Request
    order: int = -1
    """Of creation. It keeps it while it is parked."""


@dataclass(slots=True, frozen=True)
class PatienceEnds:
    """The local clock reaches the time at which the row would learn of a parked arrival, had its book not been quiet."""

    arrival: Arrival


@dataclass(slots=True, frozen=True)
class Response:
    """An answer reaches its row."""

    row: "Row"
    answer: Answer


@dataclass(slots=True, frozen=True)
class Delivery:
    """A notice reaches a group."""

    group: "Group"
    notice: Notice


@dataclass(slots=True, frozen=True)
class PhaseNews:
    """News of the `number`-th change of an instrument's phase reaches a group."""

    group: "Group"
    instrument: int
    number: int


@dataclass(slots=True, eq=False)
class Timer:
    """A row is to be woken, unless it changed its mind."""

    row: "Row"


class Beginning:
    """The run begins for strategies that have slept up to its start."""


Item = Arrival | PatienceEnds | Response | Delivery | PhaseNews | Timer | Beginning


class Schedule:
    """The queue of what is due."""

    def __init__(self) -> None:
        """Start with nothing to do."""
        self._heap: list[tuple[int, int, int, Item]] = []
        self._created = 0

    def add(self, time: int, due: Due, item: Item) -> int:
        """Have something happen at a time; its order of creation."""
        self.put_back(time, due, self._created, item)
        self._created += 1
        return self._created - 1

    def put_back(self, time: int, due: Due, order: int, item: Item) -> None:
        """Have something happen again, or later, in the order of creation that it had."""
        heapq.heappush(self._heap, (time, int(due), order, item))

    def pop_before(self, time: int) -> tuple[int, Item] | None:
        """The next thing due before a time, with its own time."""
        if not self._heap or self._heap[0][0] >= time:
            return None
        due, _, _, item = heapq.heappop(self._heap)
        return due, item

    def pop_all(self) -> list[Item]:
        """All that is left, in order."""
        items = [item for *_, item in sorted(self._heap, key=lambda entry: entry[:3])]
        self._heap.clear()
        return items


@dataclass(slots=True)
class Clock:
    """The local clock. It never goes back, and never shows a time before a record that the exchange's clock has passed."""

    now: int = 0
    watermark: int = 0
    clamps: int = 0
    feed_delay: int = 0
    """`ts_recv` - `ts_event` of the last ordinary tape event; for delays that follow the feed's."""

    def advance(self, due: int, *, is_told: bool = True) -> None:
        """Go to the time of a delivery, or as close as possible; what nobody is told of is not counted."""
        self.now, moved = max(due, self.watermark, self.now), due < max(self.watermark, self.now)
        self.clamps += moved and is_told
