"""A row's account of one instrument: exact in ticks x lots, in currency on demand."""

from typing import Final

import numpy as np

from tapeline.jit import kernel, leaf
from tapeline.market.book import MARKET
from tapeline.memory import address_of, record_at
from tapeline.record import Record, float64, int32, int64, uint8


class Line(Record):
    """The resting orders of a row on one side of a book: the numbers of those at both ends; 0: none."""

    first: int32
    last: int32


class Account(Record):
    """What a row holds of one instrument, as of what has arrived. All but `position` (lots) is float64 in currency; `average_price` is a price.

    A cache line of every order, and one of fills.
    """

    position: int64
    open_buy: int64  # lots that live and in-flight buy orders may still fill
    open_sell: int64
    lines: (Line, (2,))  # type: ignore[syntax]  # bids, asks
    held: int64  # position at the exchange: fills on their way included
    tick_value: float64  # currency per tick and lot
    market: int64  # address of the market that marks it
    # ---
    cash_ticks: int64  # ticks x lots, without fees
    cost: float64  # of the open position at its average price, ticks x lots
    maker_lots: int64
    taker_lots: int64
    maker_notional: int64  # ticks x lots, absolute
    taker_notional: int64
    maker_fee: float64  # currency per lot, or basis points
    taker_fee: float64
    # ---
    tick_price: float64  # price units per tick
    currency: int64  # number of the first instrument of its currency
    fee_in_bps: uint8
    spare: (int64, (5,))  # type: ignore[syntax]  # an odd number of lines: one and the same line of all accounts lies in all sets of a cache

    @property
    def cash(self):
        """Money from trading, without fees."""
        return self.cash_ticks * self.tick_value

    @property
    def average_price(self):
        """Average price of the open position; 0 when flat."""
        return self.cost / self.position * self.tick_price if self.position != 0 else 0.0

    @property
    def realised_pnl(self):
        """Of what was closed, before fees."""
        return (self.cash_ticks + self.cost) * self.tick_value

    @property
    def unrealised_pnl(self):
        """Of the open position, marked at the last mid seen; 0 before there was one."""
        market = record_at(self.market, 0, MARKET)
        return (self.position * market.mark / 2 - self.cost) * self.tick_value if market.has_mark else 0.0

    @property
    def fees(self):
        """Fees paid; negative when rebates prevail."""
        if self.fee_in_bps:
            return (self.maker_notional * self.maker_fee + self.taker_notional * self.taker_fee) * self.tick_value / 10_000
        return self.maker_lots * self.maker_fee + self.taker_lots * self.taker_fee

    @property
    def pnl(self):
        """Realised and unrealised, less fees."""
        return self.realised_pnl + self.unrealised_pnl - self.fees

    def __getitem__(self, index):
        """The only instrument's account, for strategies that index."""
        if index != 0:
            raise IndexError("account[i]: there is one instrument in this run")
        return self


class Accounts(Record):
    """The accounts of a run with several instruments: `account[i]`."""

    first: int64
    n: int64

    def __getitem__(self, index):
        """Account of instrument `index`. Raises IndexError outside the instruments seen so far."""
        if not 0 <= index < self.n:
            raise IndexError("account[i]: no such instrument")
        return record_at(self.first, index, ACCOUNT)


ACCOUNT: Final = Account.dtype_
ACCOUNTS: Final = Accounts.dtype_
LINE: Final = Line.dtype_
LINES_OFFSET = np.int64(ACCOUNT.fields["lines"][1])


@leaf
def line_at(account, side):
    """The line of a side."""
    return record_at(address_of(account) + LINES_OFFSET, side, LINE)


@kernel
def book_fill(account, signed, tick, is_maker):
    """A fill of `signed` lots (buy > 0) at a tick."""
    size = abs(signed)
    notional = size * abs(tick)
    account.cash_ticks -= signed * tick
    position = account.position
    if position * signed >= 0:
        account.cost += np.float64(signed * tick)
    elif size <= abs(position):
        account.cost -= account.cost * (size / abs(position))
    else:
        account.cost = np.float64((signed + position) * tick)
    account.position = position + signed
    if is_maker:
        account.maker_lots += size
        account.maker_notional += notional
    else:
        account.taker_lots += size
        account.taker_notional += notional
