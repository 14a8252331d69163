"""A strategy that follows a script, in either engine: hand-computed cases are run through both, and both must say what the test says."""

from pathlib import Path
from typing import Any

import numpy as np
from streams import GRID, Stream

import tapeline as tl
from tapeline.verify import compare

STEPS_MAX = 12
ON_START, ON_END = -1, -2
"""Times of steps that are done in these callbacks."""
BUY, SELL, BUY_MARKET, SELL_MARKET, CANCEL, MODIFY, BUY_STOP, SELL_STOP, BUY_STOP_LIMIT, SELL_STOP_LIMIT, MODIFY_STOP, CANCEL_ALL = range(1, 13)


class Script(tl.Strategy):
    """Does its steps at their local times, and signals what it is told."""

    signals = ("what", "order", "reason", "ts", "ahead")

    n: tl.int64
    times: (tl.int64, (STEPS_MAX,))
    codes: (tl.int64, (STEPS_MAX,))
    first: (tl.int64, (STEPS_MAX,))
    second: (tl.int64, (STEPS_MAX,))
    third: (tl.int64, (STEPS_MAX,))
    fourth: (tl.int64, (STEPS_MAX,))
    fifth: (tl.int64, (STEPS_MAX,))

    def do(self, orders, k):
        """One step."""
        what, a, b, c, d = self.codes[k], self.first[k], self.second[k], self.third[k], self.fourth[k]
        if what == BUY:
            orders.buy(a, b, c, d)
        elif what == SELL:
            orders.sell(a, b, c, d)
        elif what == BUY_MARKET:
            orders.buy_market(a, b)
        elif what == SELL_MARKET:
            orders.sell_market(a, b)
        elif what == CANCEL:
            orders.cancel(a)
        elif what == MODIFY:
            orders.modify(a, b, c)
        elif what == CANCEL_ALL:
            orders.cancel_all()
        else:
            self.do_with_stops(orders, k)

    def do_with_stops(self, orders, k):
        """One step about a stop."""
        what, a, b, c, d, e = self.codes[k], self.first[k], self.second[k], self.third[k], self.fourth[k], self.fifth[k]
        if what == BUY_STOP:
            orders.buy_stop(a, b, c, d)
        elif what == SELL_STOP:
            orders.sell_stop(a, b, c, d)
        elif what == BUY_STOP_LIMIT:
            orders.buy_stop_limit(a, b, c, d, e)
        elif what == SELL_STOP_LIMIT:
            orders.sell_stop_limit(a, b, c, d, e)
        elif what == MODIFY_STOP:
            orders.modify_stop(a, b)

    def do_all(self, orders, time):
        """The steps of a time; then wait for the next ones."""
        following = 0
        for k in range(self.n):
            if self.times[k] == time:
                self.do(orders, k)
            elif self.times[k] > orders.now and (following == 0 or self.times[k] < following):
                following = self.times[k]
        if following > 0:
            orders.wake_at(following)

    def on_start(self, market, orders, account):
        """The first steps."""
        self.do_all(orders, ON_START)

    def on_timer(self, market, orders, account):
        """Steps of this time."""
        self.do_all(orders, orders.now)

    def on_end(self, market, orders, account):
        """The last steps."""
        self.do_all(orders, ON_END)

    def on_order(self, update, market, orders, account):
        """Note it."""
        self.note(update.what, update.order_id, update.reason, update.ts_event, update.ahead)

    def on_fill(self, fill, market, orders, account):
        """Note price and size in place of reason and queue."""
        self.note(8, fill.order_id, fill.price // GRID, fill.ts_event, fill.size)

    def note(self, what, order_id, reason, ts, ahead):
        """One line."""
        self.signal(0, what)
        self.signal(1, order_id)
        self.signal(2, reason)
        self.signal(3, ts)
        self.signal(4, ahead)


def script(*steps: tuple[int, ...]) -> Script:
    """A strategy with these steps: (time, what, arguments…); prices in 1e-9."""
    strategy = Script()
    strategy.n = len(steps)
    for k, (time, what, *arguments) in enumerate(steps):
        strategy.times[k], strategy.codes[k] = time, what
        for name, value in zip(("first", "second", "third", "fourth", "fifth"), arguments, strict=False):
            strategy[name][k] = value
    return strategy


def told(result: tl.Result, row: int = 0) -> list[tuple[Any, ...]]:
    """What a row was told: (what, order, reason, time, ahead), or ("FILL", order, price in ticks, time, size)."""
    lines = result.signals.filter(result.signals["row"] == row)["value"].to_numpy().astype(np.int64).reshape(-1, 5).tolist()
    names = [(tl.Update(what).name, order, x if what == tl.Update.FILL else tl.Reason(x).name, ts, y) for what, order, x, ts, y in lines]
    return [tuple(line) for line in names]


def agreed(files: Path | list[Path], *strategies: Any, **settings: Any) -> tl.Result:
    """The result of a run, once the two engines have agreed on it."""
    compiled, plain = (tl.Backtest(files, engine=engine, **settings).run(*strategies) for engine in ("compiled", "reference"))
    found = compare(compiled, plain)
    assert found.is_equal, found
    return compiled


def play(path: Path, stream: Stream, *strategies: Any, **settings: Any) -> tl.Result:
    """The run of some strategies over a stream of one instrument, in which the engines agree."""
    return agreed(stream.write(path / "case.dbn"), *strategies, **{"tick_size": "1", "multiplier": 1.0, "instruments": [1], **settings})


def run(path: Path, stream: Stream, *steps: tuple[int, ...], **settings: Any) -> list[tuple[Any, ...]]:
    """What a script is told but for ACCEPTED."""
    return [line for line in told(play(path, stream, script(*steps), **settings)) if line[0] != "ACCEPTED"]
