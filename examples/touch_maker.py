"""A market maker at the touch.

tapeline run examples/touch_maker.py:TouchMaker DATA.dbn.zst --tick-size 0.25 --multiplier 50 --set size=2
"""

import tapeline as tl


class TouchMaker(tl.Strategy):
    """Quote on both sides of the touch, post-only, within a position limit; follow the touch when it moves away."""

    latency = tl.Latency(entry="100us", response="100us")

    size: tl.int64 = 1
    position_max: tl.int64 = 10
    bid_id: tl.int64
    ask_id: tl.int64

    def on_book(self, market, orders, account):
        """Cancel what no longer stands at the touch; quote where nothing is left."""
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
