"""A strategy on two instruments: make a market in the first, hedge in the second.

tapeline run examples/pair.py:PairMaker DATA.dbn.zst --instruments FIRST,SECOND --tick-size 0.25 --multiplier 50
"""

import tapeline as tl


class PairMaker(tl.Strategy):
    """Quote both sides of instrument 0 at its touch; keep the sum of both positions at zero with market orders in instrument 1."""

    latency = tl.Latency(entry="100us", response="100us")

    size: tl.int64 = 1
    position_max: tl.int64 = 5
    bid_id: tl.int64
    ask_id: tl.int64
    hedge_id: tl.int64

    def on_book(self, market, orders, account):
        """Follow the touch of instrument 0; when instrument 1 moves, see whether a hedge is missing."""
        if market.instrument == 1:
            self.hedge(orders, account)
            return
        quoted, position = market[0], account[0].position
        if orders.is_live(self.bid_id):
            if orders.price(self.bid_id) != quoted.bid_price and not orders.is_cancelling(self.bid_id):
                orders.cancel(self.bid_id)
        elif quoted.has_bid and position + self.size <= self.position_max:
            self.bid_id = orders[0].buy(quoted.bid_price, self.size, tl.POST_ONLY)
        if orders.is_live(self.ask_id):
            if orders.price(self.ask_id) != quoted.ask_price and not orders.is_cancelling(self.ask_id):
                orders.cancel(self.ask_id)
        elif quoted.has_ask and position - self.size >= -self.position_max:
            self.ask_id = orders[0].sell(quoted.ask_price, self.size, tl.POST_ONLY)

    def on_fill(self, fill, market, orders, account):
        """Hedge at once."""
        self.hedge(orders, account)

    def hedge(self, orders, account):
        """Send a market order for what is not hedged, unless one is under way."""
        open_lots = account[0].position + account[1].position
        if open_lots == 0 or orders.is_live(self.hedge_id):
            return
        if open_lots > 0:
            self.hedge_id = orders[1].sell_market(open_lots)
        else:
            self.hedge_id = orders[1].buy_market(-open_lots)
