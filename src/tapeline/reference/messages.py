"""What travels: requests to the exchange, answers and notices from it. Strategies get the last five as arguments of their callbacks."""

from collections import deque
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from tapeline.constants import Reason
from tapeline.errors import InvariantError


@dataclass(slots=True, eq=False)
class Place:
    """A place in a queue: one of our orders, from where it joins a level until it leaves that level."""

    level: int
    stamp: int
    ahead: int
    """Displayed size in front of it, at the exchange."""
    arrival: int
    """Order of arrival among own orders; breaks ties between equal stamps."""
    shown: int = 0
    """`ahead` as the feed has shown it."""
    _unseen: deque[tuple[int, int]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        """The acknowledgement tells the first value, the feed the changes."""
        self.shown = self.ahead

    def change(self, ahead: int, ts_known: int) -> bool:
        """Move up (or, while a snapshot rebuilds the book, down); the row's feed tells at `ts_known`, but changes never overtake. Whether it is a move."""
        if ahead < 0:
            raise InvariantError(f"queue ahead of an order fell to {ahead} at level {self.level}")
        if ahead == self.ahead:
            return False
        self.ahead = ahead
        previous = self._unseen[-1][0] if self._unseen else ts_known
        self._unseen.append((max(ts_known, previous), ahead))
        return True

    def ahead_at(self, now: int) -> int:
        """`ahead` as the feed has shown it by `now`; `now` never goes back."""
        while self._unseen and self._unseen[0][0] <= now:
            self.shown = self._unseen.popleft()[1]
        return self.shown


NOWHERE: Final = Place(level=0, stamp=0, ahead=-1, arrival=0)
"""The place of an order that is in no queue."""


class Ask(IntEnum):
    """What a request asks for."""

    NEW = 1
    MODIFY = 2
    CANCEL = 3
    CANCEL_ALL = 4
    TRIGGER = 5
    """Sent by the exchange to itself, as is EXPIRE."""
    EXPIRE = 6


@dataclass(slots=True, frozen=True)
class Request:
    """A request on its way to the exchange. Of a cancel only the id and the instrument are read, of a CANCEL_ALL only the instrument and its number."""

    ask: Ask
    order_id: int
    instrument: int
    side: int = 0
    level: int = 0
    """MARKET_LEVEL for a market order."""
    size: int = 0
    instruction: int = 0
    stop: int | None = None
    """Level of the stop price. Of a MODIFY: the new one, and price and size stay."""
    expires: int = 0
    reason: Reason = Reason.NONE
    """MESSAGE_RATE: the exchange's gateway refuses it on arrival; of a cancel, anything else is what CANCELLED will say in place of REQUESTED."""
    number: int = 0
    """Of a CANCEL_ALL: which of the row's it is. Its refusal brings it back."""


@dataclass(slots=True, frozen=True)
class OrderUpdate:
    """Argument `update` of `on_order`."""

    order_id: int
    what: int
    reason: int
    ts_event: int
    price: int
    size: int
    size_left: int
    ahead: int
    instrument: int
    place: Place = NOWHERE
    """Of ACCEPTED and MODIFIED: the place given. For the gateway's use."""
    by_gateway: bool = False
    """Whether it was the gateway that refused."""
    number: int = 0
    """Of a refused CANCEL_ALL: its number. For the gateway's use."""


@dataclass(slots=True, frozen=True)
class FillReport:
    """Argument `fill` of `on_fill`."""

    order_id: int
    side: int
    price: int
    size: int
    size_left: int
    is_maker: bool
    rule: int
    ts_event: int
    instrument: int
    market_size: int
    """Size of what it traded against. For the journal's use."""


@dataclass(slots=True, frozen=True)
class StatusNotice:
    """Argument `status` of `on_status`."""

    ts_event: int
    ts_recv: int
    phase: int
    instrument: int


@dataclass(slots=True, frozen=True)
class TradePrint:
    """Argument `trade` of `on_trade`."""

    price: int
    size: int
    side: int
    ts_event: int
    ts_recv: int
    instrument: int


@dataclass(slots=True, frozen=True)
class EventNotice:
    """Argument `event` of `on_event`."""

    kind: int
    side: int
    price: int
    size: int
    flags: int
    sequence: int
    ts_event: int
    ts_recv: int
    instrument: int
