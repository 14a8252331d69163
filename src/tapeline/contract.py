"""The callback contract by name: which callbacks there are, and what of their arguments is a strategy's to use. docs/reference.md says what each means."""

from typing import Final

CALLBACKS: Final = {
    "on_start": "market, orders, account",
    "on_book": "market, orders, account",
    "on_trade": "trade, market, orders, account",
    "on_event": "event, market, orders, account",
    "on_order": "update, market, orders, account",
    "on_fill": "fill, market, orders, account",
    "on_timer": "market, orders, account",
    "on_end": "market, orders, account",
    "on_status": "status, market, orders, account",
}
"""Callback → its parameters after `self`; in the order of the numbers in engine.records."""

_TOUCH = ("bid_price", "ask_price", "bid_size", "ask_size", "bid_count", "ask_count", "has_bid", "has_ask")
_LAST = ("last_price", "last_size", "last_side")
_TIMES = ("ts_event", "ts_recv")
_NEW_ORDERS = ("buy", "sell", "buy_market", "sell_market", "buy_stop", "sell_stop", "buy_stop_limit", "sell_stop_limit")
_REQUESTS = ("modify", "modify_stop", "cancel", "cancel_all")
LEVELS: Final = ("bid", "ask")
"""Methods of `market` that give a level of the book."""
_OWN_ORDERS = ("is_live", "is_cancelling", "price", "size_left", "ahead")

MEMBERS: Final[dict[str, tuple[str, ...]]] = {
    "market": (*_TOUCH, *LEVELS, *_LAST, *_TIMES, "phase", "tick", "instrument", "n", "features"),
    "orders": ("now", *_NEW_ORDERS, *_REQUESTS, *_OWN_ORDERS, "wake_at"),
    "account": ("position", "average_price", "cash", "realised_pnl", "unrealised_pnl", "fees", "pnl"),
    "trade": ("price", "size", "side", *_TIMES, "instrument"),
    "event": ("kind", "side", "price", "size", "flags", "sequence", *_TIMES, "instrument"),
    "update": ("order_id", "what", "reason", "price", "size", "size_left", "ahead", "ts_event", "instrument"),
    "fill": ("order_id", "side", "price", "size", "size_left", "is_maker", "rule", "ts_event", "instrument"),
    "status": ("phase", *_TIMES, "instrument"),
    "level": ("price", "size", "count"),
}
"""Argument of a callback, or what LEVELS give → what a strategy may use of it. Both engines have these; what else either has is its own business."""

NOT_WHOLE: Final = "orders take whole numbers (prices in 1e-9, lots, times in nanoseconds), and this is a float: round it first to what is meant, as int() does"
FIELD_NOT_WHOLE: Final = (
    "field {!r} of {} is {}, a whole number, and this is a float: round it first to what is meant, as int() does, or declare the field as tl.float64"
)
"""Of the field's name, its class and its type."""
ARRAY_REPLACED: Final = "field {0!r} of {1} is an array, which is written into and not replaced: self.{0}[:] = …"
"""Of the field's name and its class."""
