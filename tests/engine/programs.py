"""Actors that differ in what they look at, and in what they are told."""

from actors import Actor, look_at_features

import tapeline as tl


class Caller(Actor):
    """An actor that looks around, and acts, whenever it is called: subclasses say how they look. It knows its queues, and every feature, declared or not."""

    def on_start(self, market, orders, account):
        """Set a timer, and an order on its way."""
        hand = self.hand
        hand.begin()
        orders.wake_at(orders.now + 1 + hand.slow * hand.draw(50))
        self.look(market, orders, account)

    def on_book(self, market, orders, account):
        """What it sees of a book changed."""
        self.look(market, orders, account)

    def on_order(self, update, market, orders, account):
        """An answer."""
        self.hand.look_at_update(update)
        self.look(market, orders, account)

    def on_fill(self, fill, market, orders, account):
        """A fill."""
        self.hand.look_at_fill(fill)
        self.look(market, orders, account)

    def on_timer(self, market, orders, account):
        """A timer."""
        self.look(market, orders, account)

    def on_status(self, status, market, orders, account):
        """A change of the phase of trading."""
        self.hand.look_at_status(status)
        self.look(market, orders, account)

    def on_end(self, market, orders, account):
        """The end: what is sent now never arrives."""
        self.look(market, orders, account)


class Quoter(Caller):
    """Sees the best bid and offer only."""

    def look(self, market, orders, account):
        """See everything, then act."""
        hand = self.hand
        hand.see(market.n)
        hand.look_at_market(market)
        hand.look_at_levels(market, self.depth)
        look_at_features(hand, market)
        self.look_at_account(account)
        hand.look_at_orders(orders)
        hand.look_at_queues(orders)
        self.act(market, orders)
        self.tell()


class Watcher(Quoter):
    """Sees three levels and all features."""

    depth = 3
    features = tuple(tl.Feature)


class Follower(Quoter):
    """Follows every trade and tape event, with two features."""

    features = (tl.Feature.ORDER_FLOW_IMBALANCE, tl.Feature.IMBALANCE)

    def on_trade(self, trade, market, orders, account):
        """A print."""
        self.hand.look_at_trade(trade)
        self.look(market, orders, account)

    def on_event(self, event, market, orders, account):
        """A tape event."""
        self.hand.look_at_event(event)
        self.look(market, orders, account)


class Glancer(Watcher):
    """Sees three levels and all features, as they are when the touch changes; follows trades."""

    wake_depth = 1
    on_trade = Follower.on_trade


class Toucher(Watcher):
    """Sees no level but the touch, when that changes, and the features that follow from what the book is then; follows trades."""

    depth = 1
    features = tuple(feature for feature in tl.Feature if feature != tl.Feature.ORDER_FLOW_IMBALANCE_5)
    wake_depth = 1
    on_trade = Follower.on_trade


class Plain(Actor):
    """Looks at no feature and at no queue, and has few of the callbacks: what such classes are not told of is left out, where nobody could see it."""

    def on_start(self, market, orders, account):
        """Set a timer, and an order on its way."""
        hand = self.hand
        hand.begin()
        orders.wake_at(orders.now + 1 + hand.slow * hand.draw(100))
        self.act(market, orders)

    def look(self, market, orders, account):
        """See everything else, then act."""
        hand = self.hand
        hand.look_at_market(market)
        hand.look_at_levels(market, self.depth)
        self.look_at_account(account)
        hand.look_at_orders(orders)
        self.act(market, orders)
        self.tell()


class Maker(Plain):
    """Is told of views and fills, but neither of answers nor of timers: the usual market maker."""

    on_book, on_fill = Caller.on_book, Caller.on_fill


class Sleeper(Plain):
    """Is woken by timers only: answers and views come without a callback."""

    def on_timer(self, market, orders, account):
        """Act; wait again."""
        self.look(market, orders, account)
        orders.wake_at(orders.now + 1 + self.hand.slow * self.hand.draw(100))


class Listener(Plain):
    """Is told of answers, but neither of views nor of fills; sees two levels."""

    depth = 2
    on_order, on_timer = Caller.on_order, Sleeper.on_timer


class Pair(Caller):
    """Trades two instruments of `books`; orders of one are cancelled through another's."""

    depth = 2
    features = (tl.Feature.MID, tl.Feature.VOLATILITY, tl.Feature.DEPTH_BID)
    books: tl.int64 = 2

    def look(self, market, orders, account):
        """See everything of all instruments, then act on one."""
        hand = self.hand
        hand.see(market.instrument)
        for i in range(self.books):
            hand.look_at_market(market[i])
            hand.look_at_levels(market[i], self.depth)
            look_at_features(hand, market[i])
            self.look_at_account(account[i])
        hand.look_at_orders(orders[0])
        hand.look_at_queues(orders[0])
        hand.see(orders.now)
        hand.see(orders.ahead(hand.last_id))
        first, second = orders[0], orders[1]
        acted = self.act(market[0], first) if hand.turn % 2 else self.act(market[1], second)
        if acted and hand.draw(20) == 0:
            orders.cancel(hand.some_order())
        if acted and hand.draw(60) == 0:
            hand.see(orders.cancel_all())
        self.tell()


class PairFollower(Pair):
    """Follows every trade and tape event of all instruments; declares no features."""

    depth = 1
    features = ()
    on_trade, on_event = Follower.on_trade, Follower.on_event


class PairGlancer(Pair):
    """Sees three levels and some features of all instruments, as they are when one of the two best levels changes; follows all."""

    depth = 3
    features = (tl.Feature.ORDER_FLOW_IMBALANCE_5, tl.Feature.IMBALANCE_10, tl.Feature.EVENT_RATE)
    wake_depth = 2
    on_event = Follower.on_event


class PairToucher(PairFollower):
    """Sees some features of all instruments, as they are when the touch changes; follows all."""

    features = (tl.Feature.SLOPE_ASK, tl.Feature.IMBALANCE_10, tl.Feature.EVENT_RATE)
    wake_depth = 1


class PairMaker(Actor):
    """Trades two instruments and looks at no feature and at no queue; is told of views and fills, but neither of answers nor of timers."""

    def look(self, market, orders, account):
        """See everything else of both, then act on the callback's."""
        hand = self.hand
        for i in range(2):
            hand.look_at_market(market[i])
            self.look_at_account(account[i])
            hand.look_at_orders(orders[i])
        k = market.instrument
        self.act(market[k], orders[k])
        self.tell()

    on_book, on_fill = Caller.on_book, Caller.on_fill


class Crowd(Pair):
    """Trades whatever instrument something happens in, and sees more of them as they come."""

    def look(self, market, orders, account):
        """See the callback's instrument, then act on it, or on one seen before."""
        hand = self.hand
        k = market.instrument
        hand.see(market.n)
        hand.look_at_market(market[k])
        hand.look_at_levels(market[k], self.depth)
        look_at_features(hand, market[k])
        self.look_at_account(account[k])
        hand.look_at_orders(orders[k])
        hand.look_at_queues(orders[k])
        other = hand.draw(market.n)
        self.act(market[other], orders[other])
        self.look_at_account(account[other])
        self.tell()
