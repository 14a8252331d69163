"""The words that feeds, tape, book, venue and strategies share; numbers as the vendors' documents have them.

Sources: Databento, "MBO schema" and "DBN encoding" (actions, sides, flags, undefined values); FIX 4.4 (time in force).
All are IntEnums: Numba compiles their members to plain integers. So are flags: `&` of an IntFlag makes a member, in plain Python a microsecond.
"""

from enum import IntEnum
from typing import Final

UNDEFINED_PRICE: Final = 2**63 - 1
"""An absent price (DBN: UNDEF_PRICE)."""
UNDEFINED_TIMESTAMP: Final = -1
"""DBN's undefined timestamp, uint64 max, seen as int64."""
TIME_END: Final = 2**62
"""Behind all times: in the year 2116. What engines are to do never is due then, so that later times are no times."""
PRICE_SCALE: Final = 1_000_000_000
"""Prices at the borders are integers in units of 1 / PRICE_SCALE."""
LEVEL_MAX: Final = 2**31 - 2
"""Levels are int32; the outermost values mean "no level"."""
LEVEL_NONE: Final = -(2**31) + 1
"""The level of an absent best: worse than any."""


class Side(IntEnum):
    """Side of an order, or the aggressor's side of a trade."""

    BID = ord("B")
    ASK = ord("A")
    NONE = ord("N")


class Action(IntEnum):
    """What a DBN MBO record says."""

    ADD = ord("A")
    CANCEL = ord("C")
    MODIFY = ord("M")
    CLEAR = ord("R")
    TRADE = ord("T")
    FILL = ord("F")
    NONE = ord("N")


class RecordFlag(IntEnum):
    """Flag bits of a DBN record."""

    LAST = 128
    TOP_OF_BOOK = 64
    SNAPSHOT = 32
    MBP = 16
    BAD_TS_RECV = 8
    MAYBE_BAD_BOOK = 4


class Kind(IntEnum):
    """Kind of a tape event."""

    ADD = 1
    REMOVE = 2
    FILL = 3
    TRADE = 4
    CLEAR = 5
    STATUS = 6


class TapeFlag(IntEnum):
    """Flag bits of a tape event."""

    LAST = 128
    SNAPSHOT = 32
    EXCESS = 4
    MODIFIED = 2
    GONE = 1


class TimeInForce(IntEnum):
    """Low three bits of an order's instruction; with an odd one, what cannot be filled on arrival does not rest."""

    GTC = 0
    IOC = 1
    DAY = 2
    FOK = 3
    GTD = 4


GTC: Final = 0
IOC: Final = 1
DAY: Final = 2
FOK: Final = 3
GTD: Final = 4
TIF_BITS: Final = 7
TIF_UNKNOWN: Final = 7
"""Stands for an instruction that makes no sense."""
ON_QUOTE: Final = 8
"""A stop is triggered by the best price on the other side, not by the last trade."""
POST_ONLY: Final = 16
MARKET: Final = 32
"""Set by buy_market, buy_stop and the like, never by users."""
REDUCE_ONLY: Final = 64
STOP: Final = 128
"""Set by buy_stop and the like, never by users."""


class Status(IntEnum):
    """How an order stands, or ended, in `result.orders`."""

    IN_FLIGHT = 1
    OPEN = 2
    FILLED = 3
    CANCELLED = 4
    EXPIRED = 5
    REJECTED = 6


class Update(IntEnum):
    """What `on_order` tells; FILL goes to `on_fill`."""

    ACCEPTED = 1
    REJECTED = 2
    MODIFIED = 3
    MODIFY_REJECTED = 4
    CANCELLED = 5
    CANCEL_REJECTED = 6
    EXPIRED = 7
    FILL = 8
    TRIGGERED = 9


class Reason(IntEnum):
    """Why an order was refused or ended."""

    NONE = 0
    REQUESTED = 1
    SIZE = 2
    PRICE = 3
    INSTRUCTION = 4
    ORDER_SIZE_LIMIT = 5
    POSITION_LIMIT = 6
    ORDERS_LIVE_LIMIT = 7
    UNKNOWN_ORDER = 8
    CANCEL_PENDING = 9
    POST_ONLY_WOULD_TAKE = 10
    SELF_MATCH = 11
    IOC_REMAINDER = 12
    NO_LIQUIDITY = 13
    MODIFY_BELOW_FILLED = 14
    EXPIRY = 15
    FOK_UNFILLABLE = 16
    NOTHING_TO_REDUCE = 17
    NOT_WAITING = 18
    GAP = 19
    HALTED = 20
    CLOSED = 21
    MESSAGE_RATE = 30
    NOTIONAL_LIMIT = 31
    ORDER_RATE_LIMIT = 32
    LOSS_LIMIT = 33


class Phase(IntEnum):
    """Phase of trading in an instrument; TRADING where no status is known."""

    TRADING = 0
    AUCTION = 1
    """Orders are taken, nothing is matched but in the auction itself."""
    HALTED = 2
    CLOSED = 3


class FillRule(IntEnum):
    """The rule of docs/assumptions.md that made a fill."""

    FILL_BEHIND = 1
    TRADE_THROUGH = 2
    CROSSING = 3
    AUCTION = 4
    TAKING = 5
    ESTIMATED = 11


class QueueStep(IntEnum):
    """What happened to the queue in front of an order of ours, in `result.steps` (`Backtest(explain=True)`)."""

    PLACED = 1
    """It took a place in a queue: on arrival, when it was triggered, or by a modify."""
    ADDED = 2
    """A snapshot brought back an order in front of it."""
    REMOVED = 3
    """An order in front left, or a part of it."""
    FILLED = 4
    """An order in front was executed: the REMOVED of its stamp that follows is, as far as that goes, a fill."""
    CLEARED = 5
    """The book was voided."""
    LOST = 6
    """The book came back without the orders that were known: it was put behind everything."""
    REGUESSED = 7
    """An estimator changed its mind."""


class QueueModel(IntEnum):
    """How a resting order's place in its queue is known (`FillRules(queue=…)`); from RISK_AVERSE on it is estimated from displayed sizes and prints."""

    NONE = 0
    EXACT = 1
    RISK_AVERSE = 2
    POWER1 = 3
    POWER2 = 4
    POWER3 = 5
    LOG = 6
    FRONT_OPTIMISTIC = 7


class Feature(IntEnum):
    """Index into `market.features`; units: docs/reference.md, formulas and sources: docs/ARCHITECTURE.md."""

    SPREAD = 0
    SPREAD_RELATIVE = 1
    MID = 2
    MICROPRICE = 3
    IMBALANCE = 4
    DEPTH_BID = 5
    DEPTH_ASK = 6
    ORDER_FLOW_IMBALANCE = 7
    VOLATILITY = 8
    IMBALANCE_ORDERS = 9
    IMBALANCE_5 = 10
    IMBALANCE_10 = 11
    DEPTH_BID_10 = 12
    DEPTH_ASK_10 = 13
    SLOPE_BID = 14
    SLOPE_ASK = 15
    ORDER_FLOW_IMBALANCE_5 = 16
    # of what happened: see FEATURE_ACTIVITY_FIRST
    EVENT_RATE = 17
    ADD_RATE = 18
    CANCEL_RATE = 19
    TRADE_RATE = 20
    VOLUME_RATE = 21
    TRADE_FLOW = 22
    TRADE_IMBALANCE = 23
    VWAP = 24
    TRADE_AGE = 25
    TRADE_SIZE = 26
    TOUCH_AGE_BID = 27
    TOUCH_AGE_ASK = 28
    RETURN_100MS = 29
    RETURN_1S = 30
    RETURN_10S = 31
    VOLATILITY_REALISED = 32


FEATURE_ACTIVITY_FIRST: Final = Feature.EVENT_RATE
"""Features before this one describe the book, and wake the strategies that declare them when they change. This one and those after it follow what happened
and the clock: they change with every event, so they wake nobody, and are up to date in every notice."""
