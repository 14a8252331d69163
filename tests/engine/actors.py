"""A strategy that gambles: whatever it sees goes into its signals, and what it does depends on a program and on nothing else but what it sees.

A program is a list of numbers, one per opportunity to act: one above 0 decides what is done, any other lets the opportunity pass. So one act can be taken out
of a program, and the others stay as they are. Both engines call the same methods: two runs agree only if every value that a strategy could read agrees at
every callback.

What actors have in common is a record of its own, a `Hand`: its methods are compiled once for all classes of a runner, where those of a strategy are compiled
for each. And they take what they see into local variables: a field of a record takes plain Python a third of a microsecond.
"""

import tapeline as tl

NAN_STANDS_FOR = 7.25
FEATURES_N = len(tl.Feature)
PROGRAM_MAX = 64
PRIME = 1_000_003


def mix(digest, value):
    """A digest with one more integer in it."""
    return (digest * PRIME + int(value) % PRIME) % 2147483647


def add(total, value):
    """A sum with one more float in it."""
    return total * 0.5 + (value if value == value else NAN_STANDS_FOR)  # noqa: PLR0124 - false for NaN


def look_at_features(hand, market):
    """Every feature, into a hand's digest.

    No method of the hand: all who have one might then look at features, and the engine shows markets in another way to those who cannot.
    """
    total = float(hand.total)
    for k in range(FEATURES_N):
        total = add(total, market.features[k])
    hand.total = total


class Hand(tl.Record):
    """What looks and acts: a program, and a digest of all that was seen."""

    program: (tl.int64, (PROGRAM_MAX,)) = 0
    length: tl.int64 = 1  # of the program, which is repeated with other draws
    far: tl.int64 = 20  # per mille of prices far away
    wild: tl.int64 = 5  # percent of requests that make no sense
    size_max: tl.int64 = 5
    scale: tl.int64 = 1  # all sizes are multiplied by it
    base: tl.int64 = 100  # ticks: where it believes the market while the book is empty
    slow: tl.int64 = 1  # pauses are so many times as long
    mirror: tl.int64 = 1  # -1: buys where another one sells, at the negative price
    turn: tl.int64
    state: tl.int64
    last_id: tl.int64
    last_now: tl.int64
    burst: tl.int64  # times that it acted without time going on
    digest: tl.int64
    total: tl.float64
    did: tl.float64  # what came of the last request that was answered at once; 0: there was none

    def begin(self):
        """Take the next number of the program; whether it is one to act on."""
        number = self.program[self.turn % self.length]
        self.state = (number * 7919 + self.turn // self.length + 17) & 0x7FFFFFFF
        self.turn += 1
        return number > 0

    def draw(self, n):
        """A number from 0 to n - 1, of a linear congruential generator."""
        state = (self.state * 1103515245 + 12345) & 0x7FFFFFFF
        self.state = state
        return (state >> 8) % n

    def see(self, value):
        """Take an integer into the digest."""
        self.digest = mix(int(self.digest), value)

    def look_at_market(self, market):
        """Everything but levels and features."""
        digest = mix(int(self.digest), market.bid_price)
        digest = mix(digest, market.ask_price)
        digest = mix(digest, market.bid_size)
        digest = mix(digest, market.ask_size)
        digest = mix(digest, market.bid_count)
        digest = mix(digest, market.ask_count)
        digest = mix(digest, 1 if market.has_bid else 0)
        digest = mix(digest, 1 if market.has_ask else 0)
        digest = mix(digest, market.last_price)
        digest = mix(digest, market.last_size)
        digest = mix(digest, market.last_side)
        digest = mix(digest, market.ts_event)
        digest = mix(digest, market.ts_recv)
        digest = mix(digest, market.tick)
        digest = mix(digest, market.phase)
        self.digest = mix(digest, market.instrument)

    def look_at_account(self, account):
        """Every property."""
        self.see(account.position)
        total = add(float(self.total), account.cash)
        total = add(total, account.average_price)
        total = add(total, account.realised_pnl)
        total = add(total, account.unrealised_pnl)
        self.total = add(total, account.fees)

    def look_at_levels(self, market, depth):
        """The declared levels."""
        digest = int(self.digest)
        for i in range(depth):
            bid, ask = market.bid(i), market.ask(i)
            digest = mix(digest, bid.price)
            digest = mix(digest, bid.size)
            digest = mix(digest, bid.count)
            digest = mix(digest, ask.price)
            digest = mix(digest, ask.size)
            digest = mix(digest, ask.count)
        self.digest = digest

    def look_at_orders(self, orders):
        """The clock, and the last orders: one that never was among them."""
        digest, last_id = mix(int(self.digest), orders.now), int(self.last_id)
        for i in range(-1, 6):
            order_id = last_id - i
            digest = mix(digest, 1 if orders.is_live(order_id) else 0)
            digest = mix(digest, 1 if orders.is_cancelling(order_id) else 0)
            digest = mix(digest, orders.price(order_id))
            digest = mix(digest, orders.size_left(order_id))
        self.digest = digest

    def look_at_update(self, update):
        """The argument of on_order."""
        digest = mix(int(self.digest), update.order_id)
        digest = mix(digest, update.what)
        digest = mix(digest, update.reason)
        digest = mix(digest, update.ts_event)
        digest = mix(digest, update.price)
        digest = mix(digest, update.size)
        digest = mix(digest, update.size_left)
        digest = mix(digest, update.ahead)
        self.digest = mix(digest, update.instrument)

    def look_at_fill(self, fill):
        """The argument of on_fill."""
        digest = mix(int(self.digest), fill.order_id)
        digest = mix(digest, fill.side)
        digest = mix(digest, fill.price)
        digest = mix(digest, fill.size)
        digest = mix(digest, fill.size_left)
        digest = mix(digest, 1 if fill.is_maker else 0)
        digest = mix(digest, fill.rule)
        digest = mix(digest, fill.ts_event)
        self.digest = mix(digest, fill.instrument)

    def look_at_trade(self, trade):
        """The argument of on_trade."""
        digest = mix(int(self.digest), trade.price)
        digest = mix(digest, trade.size)
        digest = mix(digest, trade.side)
        digest = mix(digest, trade.ts_event)
        digest = mix(digest, trade.ts_recv)
        self.digest = mix(digest, trade.instrument)

    def look_at_event(self, event):
        """The argument of on_event."""
        digest = mix(int(self.digest), event.kind)
        digest = mix(digest, event.side)
        digest = mix(digest, event.price)
        digest = mix(digest, event.size)
        digest = mix(digest, event.flags)
        digest = mix(digest, event.sequence)
        digest = mix(digest, event.ts_event)
        digest = mix(digest, event.ts_recv)
        self.digest = mix(digest, event.instrument)

    def look_at_status(self, status):
        """The argument of on_status."""
        digest = mix(int(self.digest), status.phase)
        digest = mix(digest, status.ts_event)
        digest = mix(digest, status.ts_recv)
        self.digest = mix(digest, status.instrument)

    def look_at_queues(self, orders):
        """What is ahead of the last orders."""
        digest, last_id = int(self.digest), int(self.last_id)
        for i in range(-1, 6):
            digest = mix(digest, orders.ahead(last_id - i))
        self.digest = digest

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
            self.did = 5.0 if orders.modify_stop(self.some_order(), stop) else 6.0
        else:
            self.did = 10.0 + orders.cancel_all()

    def act(self, market, orders):
        """Send, move or cancel, or ask to be woken; twice, perhaps. Whether it did."""
        self.did = 0.0
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
                self.did = 1.0 if sent else 2.0
            elif what < 90:
                sent = orders.cancel(self.some_order())
                self.did = 3.0 if sent else 4.0
            else:
                orders.wake_at(orders.now + 1 + self.slow * self.draw(200))
        return True


class Actor(tl.Strategy):
    """What all gamblers have in common: a hand, and signals of what it saw and did."""

    signals = ("seen", "floats", "pnl", "did")

    hand: Hand

    def look_at_account(self, account):
        """Every property."""
        self.hand.look_at_account(account)
        self.signal(2, account.pnl)

    def act(self, market, orders):
        """Let the hand act. Whether it did."""
        hand = self.hand
        acted = hand.act(market, orders)
        if hand.did != 0:
            self.signal(3, hand.did)
        return acted

    def tell(self):
        """Let the journal have what was seen."""
        self.signal(0, self.hand.digest)
        self.signal(1, self.hand.total)
