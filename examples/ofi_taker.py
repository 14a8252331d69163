"""A taker that follows order flow imbalance (Cont, Kukanov, Stoikov 2014), with signals that end up in the result.

tapeline run examples/ofi_taker.py:OrderFlowTaker DATA.dbn.zst --tick-size 0.25 --multiplier 50 --set threshold=80
"""

import tapeline as tl

WINDOW = 64
"""Changes of the book over which order flow is summed."""


class OrderFlowTaker(tl.Strategy):
    """Take the touch when order flow over the last 64 changes of the book leans one way and the spread is small; leave after a while."""

    latency = tl.Latency(entry="100us", response="100us")
    features = (tl.Feature.ORDER_FLOW_IMBALANCE, tl.Feature.SPREAD)
    signals = ("flow", "entry_flow")

    size: tl.int64 = 1
    threshold: tl.float64 = 50.0  # lots
    spread_max: tl.float64 = 0.5  # price
    hold_ns: tl.int64 = 5_000_000_000
    signal_every: tl.int64 = 1_000  # changes of the book between two values of the signal `flow`
    changes: tl.int64
    order_id: tl.int64
    flow_before: (tl.float64, (WINDOW,))

    def on_book(self, market, orders, account):
        """Sum the flow of the window; enter with an IOC order at the opposite touch."""
        total = market.features[tl.Feature.ORDER_FLOW_IMBALANCE]
        place = self.changes % WINDOW
        flow = total - self.flow_before[place]
        self.flow_before[place] = total
        self.changes += 1
        if self.changes % self.signal_every == 0:
            self.signal(0, flow)
        if self.changes <= WINDOW or account.position != 0 or orders.is_live(self.order_id):
            return
        if market.features[tl.Feature.SPREAD] <= self.spread_max:  # false while a side is absent: the spread is NaN
            if flow > self.threshold:
                self.order_id = orders.buy(market.ask_price, self.size, tl.IOC)
                self.signal(1, flow)
            elif flow < -self.threshold:
                self.order_id = orders.sell(market.bid_price, self.size, tl.IOC)
                self.signal(1, flow)

    def on_fill(self, fill, market, orders, account):
        """Plan to leave."""
        if account.position != 0:
            orders.wake_at(orders.now + self.hold_ns)

    def on_order(self, update, market, orders, account):
        """Plan to leave again, if leaving found nobody to trade with."""
        if update.what == tl.Update.EXPIRED and account.position != 0:
            orders.wake_at(orders.now + self.hold_ns)

    def on_timer(self, market, orders, account):
        """Leave at the market."""
        if orders.is_live(self.order_id):
            return
        if account.position > 0:
            self.order_id = orders.sell_market(account.position)
        elif account.position < 0:
            self.order_id = orders.buy_market(-account.position)
