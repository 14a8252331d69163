"""Random streams that look like markets, with all that happens to real ones and some of what does not; and random venues to trade them at."""

import random
from collections.abc import Iterable

from streams import SNAPSHOT, SYMBOLS, TOP_OF_BOOK, Stream

import tapeline as tl
from tapeline.config import QUEUE_MODELS
from tapeline.constants import UNDEFINED_TIMESTAMP


class RandomMarket:
    """One stream in the making. What kind of market it is depends on the seed."""

    def __init__(self, seed: int, books: int = 1, slow: int = 1) -> None:
        """Draw the kind. Between events passes `slow` times as much time."""
        self.rng = rng = random.Random(seed)
        self.stream = Stream()
        self.live: list[dict[int, list]] = [{} for _ in range(books)]
        self.centre = [rng.choice((100, 100, 0, -50, 5000)) for _ in range(books)]
        self.next_id = 1
        self.ts = rng.choice((1_000, 1_704_236_400_000_000_000))
        self.spread = rng.choice((1, 2, 4, 8))  # 1: long queues
        self.damage = rng.choice((0, 0.01, 0.1))
        self.crossing = rng.choice((0.02, 0.1, 0.3))
        self.jump = rng.choice((0, 0.01, 0.05))
        self.wide = rng.choice((0.03, 0.03, 0.3))
        self.voids = rng.choice((0, 0.005, 0.03))
        self.backwards = rng.choice((0, 0, 0.05))
        self.multi = rng.choice((0.1, 0.4))
        self.gaps = [gap * slow for gap in rng.choice(((0, 0, 1, 5, 40), (1, 10, 300), (0, 1, 1, 2)))]
        self.book = 0

    def grow(self, records: int) -> Stream:
        """Let about so many records happen."""
        self.begin()
        while len(self.stream.rows) < records:
            self.step()
        return self.stream

    def follow(self, numbers: Iterable[int]) -> Stream:
        """An event per number, which decides all about it; 0: none. So events can be taken out, and the others stay much as they are."""
        self.begin()
        for number in numbers:
            if number:
                self.rng.seed(number)
                self.step()
        self.add()  # there is a record at least
        return self.stream

    def begin(self) -> None:
        """With snapshots, perhaps."""
        if self.rng.random() < 0.5:
            for book in range(len(self.live)):
                self.book = book
                self.snapshot()

    def step(self) -> None:
        """One event of one book."""
        rng = self.rng
        self.book = rng.randrange(len(self.live))
        self.ts += rng.choice(self.gaps)
        if rng.random() < self.backwards:
            self.ts -= rng.randrange(30)
        if rng.random() < self.jump:
            self.centre[self.book] += rng.randrange(-4000, 4000)
            if rng.random() < 0.5:
                self.sweep_out()
        what = rng.random()
        if what < self.voids:
            rng.choice((self.snapshot, self.snapshot, self.clear))()
        elif what < self.voids + self.damage:
            self.garbage()
        else:
            rng.choices((self.add, self.cancel, self.modify, self.trade, self.several), (40, 22, 18, 15, 100 * self.multi))[0]()

    def put(self, action: str, order_id: int = 0, side: str = "N", price: float | None = None, size: int = 0, *, last: bool = True, flags: int = 0) -> None:
        """One record, at the time of the event."""
        rng = self.rng
        recv = self.ts + rng.randrange(-2, 30) if rng.random() < 0.97 else rng.choice((UNDEFINED_TIMESTAMP, self.ts + 500, max(1, self.ts - 500)))
        if rng.random() < 0.02:
            flags |= rng.choice((8, 4))
        in_delta = rng.choice((0, 3, 20))
        self.stream.record(action, order_id, side, price, size, ts=self.ts, recv=recv, last=last, flags=flags, instrument=self.book + 1, in_delta=in_delta)

    def price(self, side: str) -> int:
        """On its own side of the centre, mostly; sometimes thousands of ticks away."""
        rng, centre = self.rng, self.centre[self.book]
        offset = rng.randrange(self.spread) + 1
        if rng.random() < self.wide:
            offset += rng.choice((200, 900, 1100, 3000, 50_000))
        if rng.random() < self.crossing:
            offset = -offset % 4 - 3
        return centre - offset if side == "B" else centre + offset

    def some(self) -> int | None:
        """A live order."""
        live = self.live[self.book]
        return self.rng.choice(list(live)) if live else None

    def new_order(self) -> tuple[int, str, int, int]:
        """An order that is now live."""
        rng = self.rng
        side = rng.choice("BA")
        self.next_id += 1
        order = (self.next_id, side, self.price(side), rng.randrange(1, 8))
        self.live[self.book][order[0]] = list(order[1:])
        return order

    def add(self, *, last: bool = True) -> None:
        """An order joins."""
        self.put("A", *self.new_order(), last=last)

    def cancel(self, *, last: bool = True) -> None:
        """An order leaves, or a part of it."""
        order_id = self.some()
        if order_id is None:
            return self.add(last=last)
        side, price, size = order = self.live[self.book][order_id]
        less = self.rng.randrange(1, size + 1) if self.rng.random() < 0.3 else size
        order[2] -= less
        if order[2] == 0:
            del self.live[self.book][order_id]
        return self.put("C", order_id, side, price, less, last=last)

    def modify(self, *, last: bool = True) -> None:
        """An order changes its size, its price, or (rarely) its side."""
        rng, order_id = self.rng, self.some()
        if order_id is None:
            return self.add(last=last)
        order = self.live[self.book][order_id]
        if rng.random() < 0.02:
            order[0] = "A" if order[0] == "B" else "B"
        if rng.random() < 0.5:
            order[1] = self.price(order[0])
        if rng.random() < 0.7:
            order[2] = rng.randrange(1, 8)
        return self.put("M", order_id, *order, last=last)

    def trade(self, *, last: bool = True) -> None:
        """An execution over one or several orders: T, then F and C (or M) of each; icebergs show more; the aggressor's own F, perhaps."""
        rng, live = self.rng, self.live[self.book]
        side = rng.choice("BA")
        passive = sorted((i for i, o in live.items() if o[0] == side), key=lambda i: (live[i][1] * (-1 if side == "B" else 1), i))[: rng.randrange(1, 4)]
        if not passive:
            return self.add(last=last)
        aggressor = rng.choice((0, 10_000 + self.next_id))
        price = live[passive[0]][1] + rng.choice((0, 0, 0, 0, 0, 0, 0, 0.5, -0.25))  # of prints alone it may lie between ticks
        self.put("T", aggressor, rng.choice("BAN"), price, sum(live[i][2] for i in passive), last=False)
        if aggressor and rng.random() < 0.3:
            self.put("F", aggressor, rng.choice("BAN"), live[passive[0]][1], 3, last=False)
        for k, order_id in enumerate(passive):
            self.execute(order_id, last=last and k == len(passive) - 1)
        return None

    def execute(self, order_id: int, *, last: bool) -> None:
        """F, and what follows it."""
        rng = self.rng
        side, price, size = order = self.live[self.book][order_id]
        beyond = rng.choice((0, 0, 0, rng.randrange(1, 9)))
        self.put("F", order_id, side, price, size + beyond if beyond else (q := rng.randrange(1, size + 1)), last=False)
        if beyond or rng.random() < 0.2:
            order[2] = rng.randrange(1, 8)
            self.put("M", order_id, side, price, order[2], last=last)
        else:
            order[2] -= q
            if order[2] == 0:
                del self.live[self.book][order_id]
            self.put("C", order_id, side, price, q, last=last)

    def several(self) -> None:
        """An event of several records, each of which may say that it is the last."""
        for k in range(count := self.rng.randrange(2, 5)):
            sequence = self.stream.sequence
            self.rng.choice((self.add, self.cancel, self.modify, self.trade))(last=k == count - 1 or self.rng.random() < 0.3)
            if k < count - 1:
                self.stream.sequence = sequence  # the next one is of the same event

    def sweep_out(self) -> None:
        """All orders of one side leave, or of both."""
        sides = self.rng.choice(("B", "A", "BA"))
        for order_id in [i for i, o in self.live[self.book].items() if o[0] in sides]:
            side, price, size = self.live[self.book].pop(order_id)
            self.put("C", order_id, side, price, size, last=self.rng.random() < 0.5)

    def clear(self) -> None:
        """The book is void."""
        self.live[self.book].clear()
        self.put("R", last=self.rng.random() < 0.9)

    def snapshot(self) -> None:
        """The book anew: most orders come back as they were, some are gone or elsewhere, some are new. With R or without, with an end or without."""
        rng, now = self.rng, self.ts
        kept = {i: o for i, o in self.live[self.book].items() if rng.random() < 0.9}
        self.live[self.book] = kept
        for order in kept.values():
            if rng.random() < 0.1:
                order[1] = self.price(order[0])
        for _ in range(rng.randrange(6)):
            self.new_order()
        if rng.random() < 0.8:
            self.put("R", flags=SNAPSHOT, last=rng.random() < 0.2)
        for order_id, order in list(kept.items()):
            if rng.random() < 0.3:
                self.ts = max(1, now - rng.randrange(1000))
            self.put("A", order_id, *order, flags=SNAPSHOT, last=rng.random() < 0.1)
            if len(self.live) > 1 and rng.random() < 0.05:
                self.interrupt(now)
        self.ts = now
        if rng.random() < 0.7:
            self.put("A", *self.new_order(), flags=SNAPSHOT, last=True)

    def interrupt(self, now: int) -> None:
        """Another book's event between records of this one's."""
        book, self.book, self.ts = self.book, self.rng.randrange(len(self.live)), now
        self.add()
        self.book = book

    def garbage(self) -> None:
        """A record of random content."""
        rng = self.rng
        action, side = rng.choices("ACMRTFNx", (30, 15, 15, 1, 8, 15, 8, 2))[0], rng.choice("BAN")
        flags = (SNAPSHOT if rng.random() < 0.05 else 0) | (TOP_OF_BOOK if rng.random() < 0.1 else 0)
        order_id = rng.choice((0, rng.randrange(self.next_id + 3), self.some() or 0))
        price = rng.choice((None, self.price(side), self.price(side)))
        self.put(action, order_id, side, price, rng.choice((0, 1, 2, 5)), last=rng.random() < 0.8, flags=flags)


def random_venue(rng: random.Random, instruments: Iterable[int]) -> dict:
    """Latencies, fees, rules and limits of one row that trades these instruments, as keywords of `tl.Row`."""
    flags = {name: rng.random() < 0.8 for name in ("trade_through", "crossing", "auction", "iceberg_excess")}
    flags["queue"] = rng.choice(("exact", "exact", "exact", "exact", *QUEUE_MODELS))
    choices = {
        "impact": rng.choice(("consume", "none")),
        "self_match": rng.choice(("cancel_resting", "cancel_aggressor", "reject")),
        "on_gap": rng.choice(("behind", "cancel")),
    }
    times = (0, 0, 1, 3, 10, 70, 400)
    latency = {name: rng.choice(times) for name in ("feed", "entry", "response")} | {name: rng.choice((None, *times)) for name in ("cancel", "modify")}
    vary(latency, rng)
    fees = {"maker": rng.choice((-0.1, 0.25)), "taker": rng.choice((0.3, 1.1)), "unit": rng.choice(("contract", "bps"))}
    limits = {"position_max": rng.choice((4, 30, 1000, 1000)), "orders_live_max": rng.choice((1, 4, 16, 64)), "order_size_max": rng.choice((3, 100, 100))}
    limits["ladder_levels_max"] = rng.choice((1024, 4096, 1 << 20))
    limits |= rng.choice(({}, {"notional_max": rng.choice((100.0, 5_000.0))}, {"orders_per_second_max": rng.choice((5, 40))}))
    limits |= rng.choice(({}, {}, {"loss_max": rng.choice((0.0, 3.0, 20.0, 500.0))}))
    one, other = tl.Fees(**fees), tl.Fees(maker=rng.choice((0.2, -0.3)), taker=0.7, unit=rng.choice(("contract", "bps")))
    paid = rng.choice((one, one, {i if i % 2 else SYMBOLS[i]: one if i % 2 else other for i in instruments}))
    return {"latency": tl.Latency(**latency), "fees": paid, "rules": tl.FillRules(**flags, **choices), "limits": tl.Limits(**limits)}


def vary(latency: dict, rng: random.Random) -> None:
    """Often, legs that are no constants, a feed that is ahead of the recorder's, and a gateway that lets few messages pass."""
    if rng.random() < 0.5:
        return
    for name in ("entry", "response", "cancel", "modify"):
        if rng.random() < 0.6:
            latency[name] = random_delay(rng)
    if rng.random() < 0.2:
        latency["feed"] = -rng.randrange(1, 20)
    if rng.random() < 0.5:
        latency |= {"messages_max": rng.choice((1, 3, 10)), "messages_per": rng.choice((1, 20, 200)), "messages_excess": rng.choice(("queue", "reject"))}


def random_delay(rng: random.Random) -> tl.Delay:
    """Of any model, of some nanoseconds to some hundreds."""
    seed, scale, shift = rng.choice((0, 1, rng.randrange(2**63))), rng.choice((2, 20, 150)), rng.choice((0, 0, 5))
    start = rng.choice((1_000, 1_704_236_400_000_000_000))
    times = sorted({start + rng.randrange(-100, 8_000) for _ in range(rng.randrange(1, 30))})
    return rng.choice(
        (
            tl.Delay.log_normal(median=scale, sigma=rng.choice((0.1, 0.6, 2.0)), shift=shift, seed=seed),
            tl.Delay.gamma(mean=scale, shape=rng.choice((0.3, 1.0, 4.5)), shift=shift, seed=seed),
            tl.Delay.from_feed(rng.choice((-10, 0, 15))),
            tl.Delay.interpolated(times, [rng.randrange(0, 300) for _ in times]),
        )
    )
