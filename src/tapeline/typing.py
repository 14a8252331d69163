"""Types of what callbacks are given, for editors and type checkers: what there is to be used, and its unit. Nothing here is ever made.

`tl.Strategy` declares its callbacks with them, so that an editor which takes the types of arguments from a base class, as Pyright and Pylance do, completes
`market.` and `orders.` in strategies without annotations, where arguments have these names. Helpers can name them: `def quote(self, market: Market) -> int`.

Prices are whole numbers of 1e-9, sizes lots, times nanoseconds since the epoch, UTC, as docs/reference.md has it; money is in the instrument's currency.
"""

from typing import Protocol


class Level(Protocol):
    """One level of a book."""

    price: int
    """1e-9; `tl.UNDEFINED_PRICE` where there is none."""
    size: int
    """Lots."""
    count: int
    """Orders."""


class Features(Protocol):
    """Values of features, by members of `tl.Feature`."""

    def __getitem__(self, feature: int) -> float:
        """One of them; NaN unless declared, or not defined."""


class Market(Protocol):
    """The market as the feed has shown it to this strategy by now. With several instruments `market[i]`."""

    bid_price: int
    """Best price, 1e-9; `tl.UNDEFINED_PRICE` while there is none."""
    ask_price: int
    """Best price, 1e-9; `tl.UNDEFINED_PRICE` while there is none."""
    bid_size: int
    """Lots at the best price; 0 while there is none."""
    ask_size: int
    """Lots at the best price; 0 while there is none."""
    bid_count: int
    """Orders at the best price."""
    ask_count: int
    """Orders at the best price."""
    has_bid: bool
    """Whether there is a best price."""
    has_ask: bool
    """Whether there is a best price."""
    last_price: int
    """Of the last trade, 1e-9."""
    last_size: int
    """Of the last trade."""
    last_side: int
    """The aggressor's in the last trade, a `tl.Side`."""
    ts_event: int
    """Exchange's time of the last news."""
    ts_recv: int
    """Recorder's time of the last news."""
    phase: int
    """A `tl.Phase`; TRADING without a status file."""
    tick: int
    """Step of order prices, 1e-9."""
    instrument: int
    """Index of the instrument; with several, of the one that the callback is about."""
    n: int
    """How many instruments there are."""
    features: Features
    """`market.features[tl.Feature.MID]`; NaN unless declared, or not defined."""

    def bid(self, i: int) -> Level:
        """The i-th bid level of the declared `depth`, 0 being the best."""

    def ask(self, i: int) -> Level:
        """The i-th ask level of the declared `depth`, 0 being the best."""

    def __getitem__(self, instrument: int) -> "Market":
        """The market of an instrument, in a run with several."""


class Orders(Protocol):
    """Your gateway. With several instruments `orders[i].buy(…)`; what needs no instrument works without index."""

    now: int
    """Local time."""

    def buy(self, price: int, size: int, instruction: int = ..., expires: int = ...) -> int:
        """Send a limit order; its id, at once."""

    def sell(self, price: int, size: int, instruction: int = ..., expires: int = ...) -> int:
        """Send a limit order; its id, at once."""

    def buy_market(self, size: int, instruction: int = ...) -> int:
        """Send a market order; its id. What finds nobody expires."""

    def sell_market(self, size: int, instruction: int = ...) -> int:
        """Send a market order; its id. What finds nobody expires."""

    def buy_stop(self, stop: int, size: int, instruction: int = ..., expires: int = ...) -> int:
        """Send a stop, a market order once its stop price is reached; its id."""

    def sell_stop(self, stop: int, size: int, instruction: int = ..., expires: int = ...) -> int:
        """Send a stop, a market order once its stop price is reached; its id."""

    def buy_stop_limit(self, stop: int, price: int, size: int, instruction: int = ..., expires: int = ...) -> int:
        """Send a stop-limit, a limit order once its stop price is reached; its id."""

    def sell_stop_limit(self, stop: int, price: int, size: int, instruction: int = ..., expires: int = ...) -> int:
        """Send a stop-limit, a limit order once its stop price is reached; its id."""

    def modify(self, order_id: int, price: int, size: int) -> bool:
        """Ask for a new price and total size, fills included; whether that was sent."""

    def modify_stop(self, order_id: int, stop: int) -> bool:
        """Ask for a new stop price of a stop that waits; whether that was sent."""

    def cancel(self, order_id: int) -> bool:
        """Ask for an end of an order; whether that was sent."""

    def cancel_all(self) -> int:
        """Cancel all live orders (of the instrument, if indexed); how many."""

    def is_live(self, order_id: int) -> bool:
        """Whether it was sent, and is not known to have ended; False for id 0."""

    def is_cancelling(self, order_id: int) -> bool:
        """Whether it is live, with a cancel under way."""

    def price(self, order_id: int) -> int:
        """Its price as last requested, 1e-9; 0 if it is not live."""

    def size_left(self, order_id: int) -> int:
        """Lots not known to be filled; 0 if it is not live."""

    def ahead(self, order_id: int) -> int:
        """Displayed lots in front in its queue, as the feed has shown; -1 before it is acknowledged, 0 if it is not live."""

    def wake_at(self, time: int) -> None:
        """Call `on_timer` at a local time; replaces the one asked for before."""

    def __getitem__(self, instrument: int) -> "Orders":
        """The gateway to an instrument, in a run with several."""


class Account(Protocol):
    """What this strategy instance has, by the fills that it knows of. With several instruments `account[i]`."""

    position: int
    """Lots, short is negative."""
    average_price: float
    """Of the open position, in price units; 0 when flat."""
    cash: float
    """Received less paid, without fees."""
    realised_pnl: float
    """Of what was closed, before fees."""
    unrealised_pnl: float
    """Of what is open, at the last mid seen."""
    fees: float
    """Paid; negative: rebates."""
    pnl: float
    """Realised + unrealised - fees."""

    def __getitem__(self, instrument: int) -> "Account":
        """The account of an instrument, in a run with several."""


class Trade(Protocol):
    """What `on_trade` is about."""

    price: int
    """1e-9."""
    size: int
    """Lots."""
    side: int
    """The aggressor's, a `tl.Side`."""
    ts_event: int
    """Exchange's time."""
    ts_recv: int
    """Recorder's time."""
    instrument: int
    """Index."""


class Event(Protocol):
    """What `on_event` is about: a tape event."""

    kind: int
    """A `tl.Kind`."""
    side: int
    """Of the order; of a trade the aggressor's."""
    price: int
    """Of its level, of a trade the exact one, 1e-9."""
    size: int
    """Lots that came, went or traded."""
    flags: int
    """Bits: LAST 128 ends an event, SNAPSHOT 32, EXCESS 4, MODIFIED 2, GONE 1."""
    sequence: int
    """The venue's number."""
    ts_event: int
    """Exchange's time."""
    ts_recv: int
    """Recorder's time."""
    instrument: int
    """Index."""


class OrderUpdate(Protocol):
    """What `on_order` is about: an answer about an order."""

    order_id: int
    """Whose; 0 for a refused `cancel_all`."""
    what: int
    """A `tl.Update`."""
    reason: int
    """A `tl.Reason`."""
    price: int
    """As last accepted, or first sent, 1e-9."""
    size: int
    """As last accepted, or first sent."""
    size_left: int
    """Still open; 0 when it has ended."""
    ahead: int
    """Lots in front, of ACCEPTED, MODIFIED and TRIGGERED; else -1."""
    ts_event: int
    """When at the exchange; of a refusal by the gateway, local time."""
    instrument: int
    """Index."""


class Fill(Protocol):
    """What `on_fill` is about."""

    order_id: int
    """Whose."""
    side: int
    """Ours, a `tl.Side`; BID: bought."""
    price: int
    """1e-9."""
    size: int
    """Lots."""
    size_left: int
    """What is left of the order."""
    is_maker: bool
    """Whether the order rested."""
    rule: int
    """A `tl.FillRule`."""
    ts_event: int
    """When at the exchange."""
    instrument: int
    """Index."""


class PhaseNews(Protocol):
    """What `on_status` is about."""

    phase: int
    """A `tl.Phase`."""
    ts_event: int
    """From when on."""
    ts_recv: int
    """When it was told."""
    instrument: int
    """Index."""
