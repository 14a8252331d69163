"""What each part that can be switched on costs, in events per second: all variants in turns over one tape, with their ratios to what they add to.

    python benchmarks/costs.py esh4-20231225.mbo.dbn.zst --rounds 5
    python benchmarks/costs.py                             (over a simulated session of two million records)

Processor time of the thread, so that a busy machine disturbs less; without what a run over a hundred records takes (tables, imports); medians over the rounds,
of ratios within a round. Machines differ: compare the ratios, and take none from different runs.
"""

import argparse
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from strategies import Idle

import tapeline as tl
from tapeline.config import QUEUE_MODELS
from tapeline.feeds.synth import SynthConfig, write_synth


class IdleDepth(Idle):
    """As Idle, with ten levels."""

    depth = 10


class IdleDepthOfTouch(IdleDepth):
    """As IdleDepth, but called for changes of the touch alone."""

    wake_depth = 1


class IdleFeatures(Idle):
    """As Idle, with every feature."""

    features = tuple(tl.Feature)


class IdleSixteen(Idle):
    """As Idle, with sixteen features."""

    features = tuple(tl.Feature)[:16]


class IdleSixteenOfTouch(IdleSixteen):
    """As IdleSixteen, but called for changes of the touch alone."""

    wake_depth = 1


class IdleEvents(Idle):
    """As Idle, and sees every tape event."""

    def on_event(self, event, market, orders, account):
        """Count."""
        self.changes += 1


class IdleTrades(Idle):
    """As Idle, and sees every trade."""

    def on_trade(self, trade, market, orders, account):
        """Count."""
        self.changes += 1


class Maker(tl.Strategy):
    """Keeps one lot on both sides of the touch."""

    bid_id: tl.int64
    ask_id: tl.int64

    def on_book(self, market, orders, account):
        """Follow the touch."""
        if orders.is_live(self.bid_id):
            if orders.price(self.bid_id) != market.bid_price and not orders.is_cancelling(self.bid_id):
                orders.cancel(self.bid_id)
        elif market.has_bid and account.position < 10:
            self.bid_id = orders.buy(market.bid_price, 1, tl.POST_ONLY)
        if orders.is_live(self.ask_id):
            if orders.price(self.ask_id) != market.ask_price and not orders.is_cancelling(self.ask_id):
                orders.cancel(self.ask_id)
        elif market.has_ask and account.position > -10:
            self.ask_id = orders.sell(market.ask_price, 1, tl.POST_ONLY)


class MakerAhead(Maker):
    """As Maker, and looks at its place in the queue."""

    least: tl.int64

    def on_trade(self, trade, market, orders, account):
        """Look."""
        self.least = min(self.least, orders.ahead(self.bid_id))


class MakerSignals(Maker):
    """As Maker, and records its position at every trade."""

    signals = ("position",)

    def on_trade(self, trade, market, orders, account):
        """Record."""
        self.signal(0, account.position)


class MakerAmongThousands(Maker):
    """As Maker, and has 4,096 orders of its own rest for ever, far from the market."""

    rested: tl.int64

    def on_trade(self, trade, market, orders, account):
        """At the first trade: on both sides, from 3,000 ticks away on, over 128 levels."""
        if self.rested == 0 and market.has_bid and market.has_ask:
            for k in range(2048):
                away = (3000 + k % 128) * market.tick
                self.rested += orders.buy(market.bid_price - away, 1, tl.POST_ONLY)
                orders.sell(market.ask_price + away, 1, tl.POST_ONLY)


class MakerTrades(Maker):
    """As Maker, and sees every trade."""

    rested: tl.int64

    def on_trade(self, trade, market, orders, account):
        """Count."""
        self.rested += 1


@dataclass(frozen=True)
class Part:
    """Something that can be switched on, and what it is added to."""

    name: str
    base: str
    strategy: type
    row: dict[str, Any] = field(default_factory=dict)
    backtest: dict[str, Any] = field(default_factory=dict)
    copies: int = 1


LATENCY = {"entry": "100us", "response": "100us"}
DRAWN = tl.Delay.log_normal(median="80us", sigma=0.5)
PARTS = (
    Part("idle strategy", "idle strategy", Idle),
    Part("depth = 10", "idle strategy", IdleDepth),
    Part("depth = 10, wake_depth = 1", "idle strategy", IdleDepthOfTouch),
    Part("sixteen features", "idle strategy", IdleSixteen),
    Part("sixteen features, wake_depth = 1", "idle strategy", IdleSixteenOfTouch),
    Part("all features", "idle strategy", IdleFeatures),
    Part("on_trade", "idle strategy", IdleTrades),
    Part("on_event", "idle strategy", IdleEvents),
    Part("maker", "idle strategy", Maker),
    Part("orders.ahead on every trade", "maker", MakerAhead),
    Part("a signal per trade", "maker", MakerSignals),
    Part("equity_every = 1 ms", "maker", Maker, backtest={"equity_every": "1ms"}),
    Part("drawn latencies", "maker", Maker, {"latency": tl.Latency(entry=DRAWN, response=DRAWN)}),
    Part("latencies that follow the feed's", "maker", Maker, {"latency": tl.Latency(entry=tl.Delay.from_feed(), response="100us")}),
    Part("the gateway's message rate", "maker", Maker, {"latency": tl.Latency(**LATENCY, messages_max=100)}),
    Part("limits on notional and order rate", "maker", Maker, {"limits": tl.Limits(notional_max=1e9, orders_per_second_max=1000)}),
    Part("kill switch", "maker", Maker, {"limits": tl.Limits(loss_max=1e12)}),
    *(Part(f"queue = {model!r}", "maker", Maker, {"rules": tl.FillRules(queue=model)}) for model in QUEUE_MODELS if model not in ("exact", "none")),
    Part("explain = True", "maker", Maker, backtest={"explain": True}),
    Part("a maker that sees trades", "maker", MakerTrades),
    Part("4,096 orders far from the market", "a maker that sees trades", MakerAmongThousands, {"limits": tl.Limits(orders_live_max=4200)}),
    Part("impact = 'none'", "maker", Maker, {"rules": tl.FillRules(impact="none")}),
    Part("ten makers", "maker", Maker, copies=10),
)


def seconds(data: Path, part: Part, settings: dict[str, Any]) -> tuple[float, int]:
    """Processor time of one run, and its events."""
    rows = [tl.Row(part.strategy(), **{"latency": tl.Latency(**LATENCY), **part.row}) for _ in range(part.copies)]
    backtest = tl.Backtest(data, **settings, **part.backtest)
    before = time.thread_time()
    result = backtest.run(*rows)
    return time.thread_time() - before, result.counters["events"]


def main() -> None:
    """Measure, and print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", type=Path)
    parser.add_argument("--tick-size", default="0.25")
    parser.add_argument("--multiplier", type=float, default=50.0)
    parser.add_argument("--records", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", action="append", metavar="PART", help="a part to measure, with what it adds to; may be repeated. Default: all")
    given = parser.parse_args()
    settings = {"tick_size": given.tick_size, "multiplier": given.multiplier}
    parts = chosen(given.only)
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        sources = {
            folder / "short.tape": simulated(folder / "short.dbn", 100),
            folder / "long.tape": given.data or simulated(folder / "long.dbn", given.records),
        }
        for tape, source in sources.items():
            tl.write_tape(source, tape, tick_size=given.tick_size)  # so that reading DBN is in no figure
        short, long = sources
        for part in parts:
            seconds(short, part, settings)  # compiles
        taken: dict[str, list[float]] = {part.name: [] for part in parts}
        for _ in range(given.rounds):
            for part in parts:
                taken[part.name].append(spent(short, long, part, settings))
    print("| part | M events/s | of what it adds to |\n|---|---|---|")
    for part in parts:
        ratios = [base / own for own, base in zip(taken[part.name], taken[part.base], strict=True)]
        print(f"| {part.name} | {1e3 / statistics.median(taken[part.name]):.1f} | {statistics.median(ratios):.2f} × {part.base} |")


def chosen(names: list[str] | None) -> list[Part]:
    """The parts of these names, and what they add to; all, if none is named."""
    wanted = set(names or (part.name for part in PARTS))
    while not wanted >= (bases := {part.base for part in PARTS if part.name in wanted}):
        wanted |= bases
    return [part for part in PARTS if part.name in wanted]


def spent(short: Path, long: Path, part: Part, settings: dict[str, Any]) -> float:
    """Nanoseconds per event, of what a long run takes more than a short one."""
    least, few = seconds(short, part, settings)
    most, many = seconds(long, part, settings)
    return (most - least) / (many - few) * 1e9


def simulated(path: Path, records: int) -> Path:
    """A session of the simulated market."""
    write_synth(path, SynthConfig(records=records))
    return path


if __name__ == "__main__":
    main()
