"""Shapes of what goes in and out of an engine: the DBN record, and the rows of the journal. Plain NumPy, shared by both engines."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

MBO: Final = np.dtype(
    [
        ("length", "u1"),
        ("rtype", "u1"),
        ("publisher_id", "<u2"),
        ("instrument_id", "<u4"),
        ("ts_event", "<i8"),
        ("order_id", "<u8"),
        ("price", "<i8"),
        ("size", "<u4"),
        ("flags", "u1"),
        ("channel_id", "u1"),
        ("action", "u1"),
        ("side", "u1"),
        ("ts_recv", "<i8"),
        ("ts_in_delta", "<i4"),
        ("sequence", "<u4"),
    ]
)
"""A DBN MBO record, 56 bytes in every DBN version (Databento, "MBO schema"); timestamps seen as int64."""

TAPE_EVENT: Final = np.dtype(
    [
        ("ts_event", "<i8"),
        ("ts_recv", "<i8"),
        ("delta", "<i8"),
        ("priority", "<i8"),
        ("level", "<i4"),
        ("sequence", "<u4"),
        ("instrument", "<u4"),
        ("kind", "u1"),
        ("flags", "u1"),
        ("side", "u1"),
        ("orders", "i1"),
    ]
)
"""A tape event, 48 bytes; docs/ARCHITECTURE.md says what the fields mean."""

FILLS: Final = np.dtype(
    [
        ("ts_event", "<i8"),  # at the exchange
        ("ts_local", "<i8"),  # when the row learned of it
        ("order_id", "<i8"),
        ("price", "<i8"),  # 1e-9
        ("size", "<i8"),
        ("size_left", "<i8"),
        ("market_size", "<i8"),  # of what it traded against
        ("row", "<i4"),
        ("instrument", "<i4"),
        ("side", "u1"),  # ours
        ("is_maker", "?"),
        ("rule", "u1"),  # FillRule
    ],
    align=True,
)
ORDERS: Final = np.dtype(
    [
        ("order_id", "<i8"),
        ("price", "<i8"),  # last accepted, or first sent; 1e-9; UNDEFINED_PRICE for market orders
        ("size", "<i8"),  # total, last accepted or first sent
        ("filled", "<i8"),
        ("ts_sent", "<i8"),  # local
        ("ts_arrived", "<i8"),  # at the exchange; -1: never
        ("ts_end", "<i8"),  # at the exchange; -1: not ended there
        ("ts_end_local", "<i8"),  # when the row learned of the end; -1: did not
        ("ahead_at_entry", "<i8"),  # as in ACCEPTED; -1: never rested
        ("ahead_at_end", "<i8"),  # the queue ahead at the exchange when it ended, or at the run's end; -1: never rested
        ("row", "<i4"),
        ("instrument", "<i4"),
        ("modifies", "<i4"),  # accepted
        ("requests_refused", "<i4"),  # cancels and modifies of this order, by gateway or exchange, while it was live
        ("side", "u1"),
        ("instruction", "u1"),
        ("status", "u1"),  # Status
        ("reason", "u1"),  # Reason
        ("stop", "<i8"),  # stop price, last accepted or first sent; 1e-9; UNDEFINED_PRICE: none
        ("ts_triggered", "<i8"),  # at the exchange; -1: never
        ("gaps", "<i4"),  # how often it was put behind everything because the book was lost
    ],
    align=True,
)
EQUITY: Final = np.dtype(
    [
        ("ts", "<i8"),
        ("position", "<i8"),
        ("cash", "<i8"),  # ticks x lots, without fees
        ("mark", "<i8"),  # half ticks; UNDEFINED_PRICE while no mid was ever seen
        ("maker_lots", "<i8"),
        ("taker_lots", "<i8"),
        ("maker_notional", "<i8"),  # ticks x lots, absolute
        ("taker_notional", "<i8"),
        ("cost", "<f8"),  # of the open position, at its average price: ticks x lots
        ("row", "<i4"),
        ("instrument", "<i4"),
    ],
    align=True,
)
STOPS: Final = np.dtype(
    [
        ("ts", "<i8"),  # local
        ("net", "<f8"),  # what the row had won by then, less fees, in the currency
        ("limit", "<f8"),
        ("row", "<i4"),
        ("instrument", "<i4"),  # the first of the currency
        ("reason", "u1"),  # Reason
    ],
    align=True,
)
STEPS: Final = np.dtype(
    [
        ("ts_event", "<i8"),  # at the exchange
        ("order_id", "<i8"),
        ("ahead", "<i8"),  # displayed size in front of it afterwards
        ("size", "<i8"),  # lots that came in front or went, or (FILLED) were executed: negative
        ("stamp", "<i8"),  # of the order that did; of PLACED the price, 1e-9; else 0
        ("row", "<i4"),
        ("what", "u1"),  # QueueStep
    ],
    align=True,
)
"""What `explain=True` records."""
SIGNALS: Final = np.dtype([("ts", "<i8"), ("value", "<f8"), ("row", "<i4"), ("signal", "<i4")], align=True)


Rows = Sequence[tuple[Any, ...]] | np.ndarray[Any, Any]


@dataclass(frozen=True)
class Journals:
    """What an engine recorded: rows in the order of the fields above, as tuples or structured arrays, and what it counted on the way."""

    fills: Rows
    orders: Rows
    equity: Rows
    signals: Rows
    counters: dict[str, int]
    stops: Rows = field(default_factory=list)
    steps: Rows = field(default_factory=list)
