"""What each part that can be switched on costs, in events per second: all variants in turns over one file, the best of some rounds, and ratios.

    python benchmarks/costs.py esh4-20231225.mbo.dbn.zst --rounds 5
    python benchmarks/costs.py                             (over a simulated session of a million records)

Machines differ and are disturbed: compare the ratios, and take none from different runs.
"""

import argparse
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tapeline as tl
from tapeline.config import QUEUE_MODELS
from tapeline.feeds.synth import SynthConfig, write_synth


class Idle(tl.Strategy):
    """Sees every change of the touch and does nothing."""

    changes: tl.int64

    def on_book(self, market, orders, account):
        """Count."""
        self.changes += 1


class IdleDepth(Idle):
    """As Idle, with ten levels."""

    depth = 10


class IdleFeatures(Idle):
    """As Idle, with all features of the first release."""

    features = tuple(tl.Feature)[:9]


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
    Part("nine features", "idle strategy", IdleFeatures),
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
    Part("impact = 'none'", "maker", Maker, {"rules": tl.FillRules(impact="none")}),
    Part("ten makers", "maker", Maker, copies=10),
    Part("a hundred makers", "maker", Maker, copies=100),
)


def speed(data: Path, part: Part, settings: dict[str, Any]) -> float:
    """Events per second of one run, without compiling."""
    row = {"latency": tl.Latency(**LATENCY), **part.row}
    rows = [tl.Row(part.strategy(), **row) for _ in range(part.copies)]
    return float(tl.Backtest(data, **settings, **part.backtest).run(*rows).manifest["events_per_second"])


def main() -> None:
    """Measure, and print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", type=Path)
    parser.add_argument("--tick-size", default="0.25")
    parser.add_argument("--multiplier", type=float, default=50.0)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    settings = {"tick_size": given.tick_size, "multiplier": given.multiplier}
    with tempfile.TemporaryDirectory() as directory:
        data = given.data or simulated(Path(directory) / "session.dbn", given.records)
        for part in PARTS:
            speed(data, part, settings)  # compiles
        best = {part.name: 0.0 for part in PARTS}
        for _ in range(given.rounds):
            for part in PARTS:
                best[part.name] = max(best[part.name], speed(data, part, settings))
    print("| part | M events/s | of what it adds to |\n|---|---|---|")
    for part in PARTS:
        print(f"| {part.name} | {best[part.name] / 1e6:.2f} | {best[part.name] / best[part.base]:.2f} × {part.base} |")


def simulated(path: Path, records: int) -> Path:
    """A session of the simulated market."""
    write_synth(path, SynthConfig(records=records))
    return path


if __name__ == "__main__":
    main()
