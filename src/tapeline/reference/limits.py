"""Limits that need memory or money: orders per second, notional, loss. docs/assumptions.md, "Limits"."""

import math
from collections import deque
from collections.abc import Sequence
from typing import Final

from tapeline.config import UNLIMITED, Limits
from tapeline.constants import UNDEFINED_PRICE
from tapeline.instruments import Instrument
from tapeline.reference.account import Account

SECOND_NS: Final = 1_000_000_000


class Rate:
    """New orders and modifies sent in the last second."""

    def __init__(self, limits: Limits) -> None:
        """Start with none."""
        self._max = limits.orders_per_second_max
        self._sent: deque[int] = deque(maxlen=self._max if self._max < UNLIMITED else 1)

    def is_reached(self, now: int) -> bool:
        """Whether one more would be too many."""
        return len(self._sent) == self._max and now < self._sent[0] + SECOND_NS

    def count(self, now: int) -> None:
        """One was sent."""
        self._sent.append(now)


def exceeds_notional(account: Account, instrument: Instrument, price: int, lots: int, limits: Limits) -> bool:
    """Whether a position of so many lots would be worth too much at a price; at the mark for market orders. What cannot be valued is too much."""
    half_ticks = account.mark if price == UNDEFINED_PRICE else 2 * (price // instrument.grid)
    if price == UNDEFINED_PRICE and not account.has_mark:
        return limits.notional_max < math.inf
    return float(lots) * float(abs(half_ticks)) * 0.5 * account.tick_value > limits.notional_max


def loss_beyond(accounts: Sequence[Account], instruments: Sequence[Instrument], limits: Limits) -> tuple[float, int] | None:
    """The net PnL of the first currency in which a row has lost too much, and the first instrument of that currency; None if there is none."""
    if limits.loss_max == math.inf:
        return None
    first: dict[str, int] = {}
    net: dict[str, float] = {}
    for account, instrument in zip(accounts, instruments, strict=True):
        first.setdefault(instrument.currency, instrument.index)
        net[instrument.currency] = net.get(instrument.currency, 0.0) + account.pnl
    return next(((net[currency], index) for currency, index in first.items() if net[currency] < -limits.loss_max), None)
