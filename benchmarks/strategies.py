"""The strategies of benchmarks: a market maker that looks at sixteen features, three that are unlike it, and one that does nothing."""

from typing import ClassVar

import tapeline as tl

MICROPRICE, IMBALANCE = tl.Feature.MICROPRICE, tl.Feature.IMBALANCE_5


class Maker(tl.Strategy):
    """Quotes both sides of the touch, post-only, leaning on its position; reads two of its features at each change of the touch."""

    features = tuple(tl.Feature)[:16]
    wake_depth: ClassVar[int | None] = 1

    size: tl.int64 = 1
    position_max: tl.int64 = 10
    bid_id: tl.int64
    ask_id: tl.int64
    lean: tl.float64

    def on_book(self, market, orders, account):
        """Follow the touch."""
        self.lean = market.features[MICROPRICE] - market.features[IMBALANCE]
        quote(self, market, orders, account)


class RestlessMaker(Maker):
    """The same, woken by every change of any of its features."""

    wake_depth = None


class PlainMaker(tl.Strategy):
    """The same without features: what a parameter set of a sweep is."""

    size: tl.int64 = 1
    position_max: tl.int64 = 10
    bid_id: tl.int64
    ask_id: tl.int64

    def on_book(self, market, orders, account):
        """Follow the touch."""
        quote(self, market, orders, account)


def quote(self, market, orders, account):
    """Cancel what is not at the touch, place what is missing."""
    if orders.is_live(self.bid_id):
        if orders.price(self.bid_id) != market.bid_price and not orders.is_cancelling(self.bid_id):
            orders.cancel(self.bid_id)
    elif market.has_bid and account.position + self.size <= self.position_max:
        self.bid_id = orders.buy(market.bid_price, self.size, tl.POST_ONLY)
    if orders.is_live(self.ask_id):
        if orders.price(self.ask_id) != market.ask_price and not orders.is_cancelling(self.ask_id):
            orders.cancel(self.ask_id)
    elif market.has_ask and account.position - self.size >= -self.position_max:
        self.ask_id = orders.sell(market.ask_price, self.size, tl.POST_ONLY)


class Taker(tl.Strategy):
    """Takes the touch when the order flow leans far one way, and leaves on the next turn."""

    features = (tl.Feature.ORDER_FLOW_IMBALANCE,)
    threshold: tl.float64 = 400.0
    flow_last: tl.float64

    def on_book(self, market, orders, account):
        """Follow the flow."""
        flow = market.features[tl.Feature.ORDER_FLOW_IMBALANCE] - self.flow_last
        if flow > self.threshold and account.position <= 0 and market.has_ask:
            orders.buy(market.ask_price, 1, tl.IOC)
            self.flow_last += flow
        elif flow < -self.threshold and account.position >= 0 and market.has_bid:
            orders.sell(market.bid_price, 1, tl.IOC)
            self.flow_last += flow


class Follower(tl.Strategy):
    """Joins the side of large trades."""

    size_min: tl.int64 = 20
    order_id: tl.int64

    def on_trade(self, trade, market, orders, account):
        """Behind the aggressor."""
        if trade.size >= self.size_min and not orders.is_live(self.order_id):
            if trade.side == tl.Side.BID and market.has_bid and account.position < 5:
                self.order_id = orders.buy(market.bid_price, 1)
            elif trade.side == tl.Side.ASK and market.has_ask and account.position > -5:
                self.order_id = orders.sell(market.ask_price, 1)


class Sleeper(tl.Strategy):
    """Looks at the market ten times a second."""

    looks: tl.int64

    def on_start(self, market, orders, account):
        """Wait."""
        orders.wake_at(orders.now + 100_000_000)

    def on_timer(self, market, orders, account):
        """Look, wait again."""
        self.looks += market.bid_size
        orders.wake_at(orders.now + 100_000_000)


class Idle(tl.Strategy):
    """Sees every change of the touch and does nothing."""

    changes: tl.int64

    def on_book(self, market, orders, account):
        """Count."""
        self.changes += 1
