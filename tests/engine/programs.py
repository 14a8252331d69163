"""Strategies that gamble: whatever they see goes into their signals, and what they do depends on a program and on nothing else but what they see.

A program is a list of numbers, one per opportunity to act: one above 0 decides what is done, any other lets the opportunity pass. So one act can be taken out
of a program, and the others stay as they are. Both engines call the same methods: two runs agree only if every value that a strategy could read agrees at
every callback.
"""

import tapeline as tl

NAN_STANDS_FOR = 7.25
PROGRAM_MAX = 64
PRIME = 1_000_003
FEATURES_N = len(tl.Feature)


def mix(digest, value):
    """A digest with one more integer in it."""
    return (digest * PRIME + tl.int64(value) % PRIME) % 2147483647


class Actor(tl.Strategy):
    """What all gamblers have in common: a program, a digest of all that was seen, and a hand that acts."""

    signals = ("seen", "floats", "pnl", "did")

    program: (tl.int64, (PROGRAM_MAX,)) = 0
    length: tl.int64 = 1  # of the program, which is repeated with other draws
    far: tl.int64 = 20  # per mille of prices far away
    wild: tl.int64 = 5  # percent of requests that make no sense
    size_max: tl.int64 = 5
    scale: tl.int64 = 1  # all sizes are multiplied by it
    base: tl.int64 = 100  # ticks: where it believes the market while the book is empty
    mirror: tl.int64 = 1  # -1: buys where another one sells, at the negative price
    turn: tl.int64
    state: tl.int64
    last_id: tl.int64
    last_now: tl.int64
    burst: tl.int64  # times that it acted without time going on
    digest: tl.int64
    total: tl.float64

    def begin(self):
        """Take the next number of the program; whether it is one to act on."""
        number = self.program[self.turn % self.length]
        self.state = (number * 7919 + self.turn // self.length + 17) & 0x7FFFFFFF
        self.turn += 1
        return number > 0

    def draw(self, n):
        """A number from 0 to n - 1, of a linear congruential generator."""
        self.state = (self.state * 1103515245 + 12345) & 0x7FFFFFFF
        return (self.state >> 8) % n

    def see(self, value):
        """Take an integer into the digest."""
        self.digest = mix(self.digest, value)

    def feel(self, value):
        """Take a float into the sum."""
        self.total = self.total * 0.5 + (value if value == value else NAN_STANDS_FOR)  # noqa: PLR0124 - false for NaN

    def tell(self):
        """Let the journal have what was seen."""
        self.signal(0, self.digest)
        self.signal(1, self.total)

    def look_at_market(self, market):
        """Everything but levels and features."""
        self.see(market.bid_price)
        self.see(market.ask_price)
        self.see(market.bid_size)
        self.see(market.ask_size)
        self.see(market.bid_count)
        self.see(market.ask_count)
        self.see(1 if market.has_bid else 0)
        self.see(1 if market.has_ask else 0)
        self.see(market.last_price)
        self.see(market.last_size)
        self.see(market.last_side)
        self.see(market.ts_event)
        self.see(market.ts_recv)
        self.see(market.tick)
        self.see(market.phase)
        self.see(market.instrument)

    def look_at_account(self, account):
        """Every property."""
        self.see(account.position)
        self.feel(account.cash)
        self.feel(account.average_price)
        self.feel(account.realised_pnl)
        self.feel(account.unrealised_pnl)
        self.feel(account.fees)
        self.signal(2, account.pnl)

    def look_at_levels(self, market, depth):
        """The declared levels."""
        for i in range(depth):
            bid, ask = market.bid(i), market.ask(i)
            self.see(bid.price)
            self.see(bid.size)
            self.see(bid.count)
            self.see(ask.price)
            self.see(ask.size)
            self.see(ask.count)

    def look_at_orders(self, orders):
        """The clock, and the last orders: one that never was among them."""
        self.see(orders.now)
        for i in range(-1, 6):
            order_id = self.last_id - i
            self.see(1 if orders.is_live(order_id) else 0)
            self.see(1 if orders.is_cancelling(order_id) else 0)
            self.see(orders.price(order_id))
            self.see(orders.size_left(order_id))

    def look_at_update(self, update):
        """The argument of on_order."""
        self.see(update.order_id)
        self.see(update.what)
        self.see(update.reason)
        self.see(update.ts_event)
        self.see(update.price)
        self.see(update.size)
        self.see(update.size_left)
        self.see(update.ahead)
        self.see(update.instrument)

    def look_at_fill(self, fill):
        """The argument of on_fill."""
        self.see(fill.order_id)
        self.see(fill.side)
        self.see(fill.price)
        self.see(fill.size)
        self.see(fill.size_left)
        self.see(1 if fill.is_maker else 0)
        self.see(fill.rule)
        self.see(fill.ts_event)
        self.see(fill.instrument)

    def look_at_trade(self, trade):
        """The argument of on_trade."""
        self.see(trade.price)
        self.see(trade.size)
        self.see(trade.side)
        self.see(trade.ts_event)
        self.see(trade.ts_recv)
        self.see(trade.instrument)

    def look_at_event(self, event):
        """The argument of on_event."""
        self.see(event.kind)
        self.see(event.side)
        self.see(event.price)
        self.see(event.size)
        self.see(event.flags)
        self.see(event.sequence)
        self.see(event.ts_event)
        self.see(event.ts_recv)
        self.see(event.instrument)

    def look_at_status(self, status):
        """The argument of on_status."""
        self.see(status.phase)
        self.see(status.ts_event)
        self.see(status.ts_recv)
        self.see(status.instrument)

    def some_price(self, market):
        """Near the touch; sometimes far from it; rarely one that is refused."""
        price = self.mirror * self.base * market.tick
        bid_first = (self.draw(2) == 0) == (self.mirror == 1)
        if market.has_bid and (bid_first or not market.has_ask):
            price = market.bid_price
        elif market.has_ask:
            price = market.ask_price
        offset = (self.draw(7) - 3) * market.tick
        if self.draw(1000) < self.far:
            offset += (self.draw(20_001) - 10_000) * market.tick
        if self.draw(100) < self.wild:
            offset += 1 + self.draw(3)
        return price + self.mirror * offset

    def some_size(self):
        """From 1 on; rarely none."""
        if self.draw(100) < self.wild:
            return self.draw(2) - 1
        return (1 + self.draw(self.size_max)) * self.scale

    def some_instruction(self):
        """GTC mostly; rarely one that is refused."""
        if self.draw(100) < self.wild:
            return self.draw(260)
        what = self.draw(14)
        usual = tl.GTC if what < 6 else tl.IOC if what < 8 else tl.POST_ONLY if what < 10 else tl.FOK if what < 12 else tl.GTD if what < 13 else tl.DAY
        return usual | tl.REDUCE_ONLY if self.draw(8) == 0 else usual

    def some_expiry(self, orders, instruction):
        """Soon, for GTD; rarely already past, or given for an order that has none."""
        if self.draw(100) < self.wild:
            return self.draw(2) * orders.now
        return orders.now + 1 + self.draw(200) if instruction & 7 == tl.GTD else 0

    def some_order(self):
        """The id of an order, of one long gone, or of one that never was."""
        if self.draw(100) < self.wild:
            return self.draw(5) - 2 + self.last_id
        return max(1, self.last_id - self.draw(5))

    def act_specially(self, market, orders, is_buy):
        """Send a stop, move it, or cancel everything."""
        what, stop = self.draw(20), self.some_price(market)
        if what < 12:
            size, instruction = self.some_size(), 0 if self.draw(2) == 0 else self.some_instruction()
            instruction |= tl.ON_QUOTE if self.draw(3) == 0 else 0
            price, expires = self.some_price(market), self.some_expiry(orders, instruction)
            if what < 6:
                self.last_id = orders.buy_stop(stop, size, instruction, expires) if is_buy else orders.sell_stop(stop, size, instruction, expires)
            elif is_buy:
                self.last_id = orders.buy_stop_limit(stop, price, size, instruction, expires)
            else:
                self.last_id = orders.sell_stop_limit(stop, price, size, instruction, expires)
        elif what < 18:
            self.signal(3, 5.0 if orders.modify_stop(self.some_order(), stop) else 6.0)
        else:
            self.signal(3, 10.0 + orders.cancel_all())

    def act(self, market, orders):
        """Send, move or cancel, or ask to be woken; twice, perhaps. Whether it did."""
        self.burst = self.burst + 1 if orders.now == self.last_now else 0
        self.last_now = orders.now
        if not self.begin() or self.burst > 4:  # refusals come at once, and each may lead to the next
            return False
        for _ in range(1 + self.draw(2)):
            what = self.draw(100)
            is_buy = (what % 2 == 0) == (self.mirror == 1)
            if what < 50:
                price, size, instruction = self.some_price(market), self.some_size(), self.some_instruction()
                expires = self.some_expiry(orders, instruction)
                self.last_id = orders.buy(price, size, instruction, expires) if is_buy else orders.sell(price, size, instruction, expires)
            elif what < 56:
                size, instruction = self.some_size(), 0 if self.draw(2) == 0 else self.some_instruction()
                self.last_id = orders.buy_market(size, instruction) if is_buy else orders.sell_market(size, instruction)
            elif what < 66:
                self.act_specially(market, orders, is_buy)
            elif what < 77:
                sent = orders.modify(self.some_order(), self.some_price(market), self.some_size())
                self.signal(3, 1.0 if sent else 2.0)
            elif what < 90:
                sent = orders.cancel(self.some_order())
                self.signal(3, 3.0 if sent else 4.0)
            else:
                orders.wake_at(orders.now + 1 + self.draw(200))
        return True


class Caller(Actor):
    """An actor that looks around, and acts, whenever it is called: subclasses say how they look. It knows its queues, and every feature, declared or not."""

    def look_at_queues(self, orders):
        """What is ahead of the last orders."""
        for i in range(-1, 6):
            self.see(orders.ahead(self.last_id - i))

    def look_at_features(self, market):
        """Every feature."""
        for k in range(FEATURES_N):
            self.feel(market.features[k])

    def on_start(self, market, orders, account):
        """Set a timer, and an order on its way."""
        self.begin()
        orders.wake_at(orders.now + 1 + self.draw(50))
        self.look(market, orders, account)

    def on_book(self, market, orders, account):
        """What it sees of a book changed."""
        self.look(market, orders, account)

    def on_order(self, update, market, orders, account):
        """An answer."""
        self.look_at_update(update)
        self.look(market, orders, account)

    def on_fill(self, fill, market, orders, account):
        """A fill."""
        self.look_at_fill(fill)
        self.look(market, orders, account)

    def on_timer(self, market, orders, account):
        """A timer."""
        self.look(market, orders, account)

    def on_status(self, status, market, orders, account):
        """A change of the phase of trading."""
        self.look_at_status(status)
        self.look(market, orders, account)

    def on_end(self, market, orders, account):
        """The end: what is sent now never arrives."""
        self.look(market, orders, account)


class Quoter(Caller):
    """Sees the best bid and offer only."""

    def look(self, market, orders, account):
        """See everything, then act."""
        self.see(market.n)
        self.look_at_market(market)
        self.look_at_levels(market, self.depth)
        self.look_at_features(market)
        self.look_at_account(account)
        self.look_at_orders(orders)
        self.look_at_queues(orders)
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
        self.look_at_trade(trade)
        self.look(market, orders, account)

    def on_event(self, event, market, orders, account):
        """A tape event."""
        self.look_at_event(event)
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
        self.begin()
        orders.wake_at(orders.now + 1 + self.draw(100))
        self.act(market, orders)

    def look(self, market, orders, account):
        """See everything else, then act."""
        self.look_at_market(market)
        self.look_at_levels(market, self.depth)
        self.look_at_account(account)
        self.look_at_orders(orders)
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
        orders.wake_at(orders.now + 1 + self.draw(100))


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
        self.see(market.instrument)
        for i in range(self.books):
            self.look_at_market(market[i])
            self.look_at_levels(market[i], self.depth)
            self.look_at_features(market[i])
            self.look_at_account(account[i])
        self.look_at_orders(orders[0])
        self.look_at_queues(orders[0])
        self.see(orders.now)
        self.see(orders.ahead(self.last_id))
        first, second = orders[0], orders[1]
        acted = self.act(market[0], first) if self.turn % 2 else self.act(market[1], second)
        if acted and self.draw(20) == 0:
            orders.cancel(self.some_order())
        if acted and self.draw(60) == 0:
            self.see(orders.cancel_all())
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
        for i in range(2):
            self.look_at_market(market[i])
            self.look_at_account(account[i])
            self.look_at_orders(orders[i])
        k = market.instrument
        self.act(market[k], orders[k])
        self.tell()

    on_book, on_fill = Caller.on_book, Caller.on_fill


class Crowd(Pair):
    """Trades whatever instrument something happens in, and sees more of them as they come."""

    def look(self, market, orders, account):
        """See the callback's instrument, then act on it, or on one seen before."""
        k = market.instrument
        self.see(market.n)
        self.look_at_market(market[k])
        self.look_at_levels(market[k], self.depth)
        self.look_at_features(market[k])
        self.look_at_account(account[k])
        self.look_at_orders(orders[k])
        self.look_at_queues(orders[k])
        other = self.draw(market.n)
        self.act(market[other], orders[other])
        self.look_at_account(account[other])
        self.tell()
