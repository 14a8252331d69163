"""What a row has in one instrument. Cash and cost are in ticks of the grid × lots; currency appears only when it is asked for."""

from tapeline.config import Fees
from tapeline.constants import PRICE_SCALE
from tapeline.instruments import Instrument
from tapeline.reference.market import Market, checked_index


class Account:
    """`account` of one instrument in callbacks."""

    def __init__(self, instrument: Instrument, fees: Fees, market: Market) -> None:
        """Start flat. `market` is the row's own: it gives the mark."""
        self.position = 0
        self.cash_ticks = 0
        self.cost_ticks = 0.0
        self.maker_lots = 0
        self.taker_lots = 0
        self.maker_notional = 0
        self.taker_notional = 0
        self._fees = fees
        self._market = market
        self._tick_price = instrument.grid / PRICE_SCALE
        self.tick_value = self._tick_price * instrument.multiplier
        """Currency per tick of the grid and lot."""

    def book_fill(self, lots: int, tick: int, *, is_maker: bool) -> None:
        """Account for a fill of signed lots (a buy is positive) at a tick of the grid."""
        self._book_cost(lots, tick)
        self.position += lots
        self.cash_ticks -= lots * tick
        if is_maker:
            self.maker_lots += abs(lots)
            self.maker_notional += abs(lots * tick)
        else:
            self.taker_lots += abs(lots)
            self.taker_notional += abs(lots * tick)

    def _book_cost(self, lots: int, tick: int) -> None:
        """The cost of the open position at average price; what goes through zero opens anew."""
        closing = min(abs(lots), abs(self.position)) if lots * self.position < 0 else 0
        if closing > 0:
            self.cost_ticks -= self.cost_ticks * (closing / abs(self.position))
        opening = abs(lots) - closing
        if opening > 0:
            self.cost_ticks += float((opening if lots > 0 else -opening) * tick)

    @property
    def mark(self) -> int:
        """The mid of the row's market in half ticks; the last one while a side is absent, 0 before the first."""
        return self._market.mark

    @property
    def has_mark(self) -> bool:
        """Whether a mid was ever seen."""
        return self._market.has_mark

    @property
    def cash(self) -> float:
        """What was received less what was paid for the position, without fees."""
        return self.cash_ticks * self.tick_value

    @property
    def average_price(self) -> float:
        """At which the open position was entered; 0 when flat."""
        return self.cost_ticks / self.position * self._tick_price if self.position else 0.0

    @property
    def realised_pnl(self) -> float:
        """Of what was closed, without fees."""
        return (self.cash_ticks + self.cost_ticks) * self.tick_value

    @property
    def unrealised_pnl(self) -> float:
        """Of what is open, at the mark; 0 while there is no mark."""
        return (self.position * self.mark / 2 - self.cost_ticks) * self.tick_value if self._market.has_mark else 0.0

    @property
    def fees(self) -> float:
        """Paid so far; negative is a rebate."""
        if self._fees.unit == "contract":
            return self.maker_lots * self._fees.maker + self.taker_lots * self._fees.taker
        return (self.maker_notional * self._fees.maker + self.taker_notional * self._fees.taker) * self.tick_value / 10_000

    @property
    def pnl(self) -> float:
        """Realised and unrealised, less fees."""
        return self.realised_pnl + self.unrealised_pnl - self.fees

    def __getitem__(self, i: int) -> "Account":
        """`account[0]` is the account itself in a run with one instrument."""
        checked_index(i, 1)
        return self
