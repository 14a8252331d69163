"""Fills against those of mbo-queue, an independent reconstruction of CME's queues (PyPI: mbo-queue, by A. Dani).

mbo-queue places hypothetical one-lot orders ("shadows") behind the best queues, and says from the ids of real orders when each would have been filled. The same
orders are sent through Tapeline's simulated venue, each a strategy row of its own, and the two lists are set side by side.

    python benchmarks/against_mbo_queue.py esh4-20231225.mbo.dbn.zst --from 2023-12-25T23:00:01
    python benchmarks/against_mbo_queue.py --simulated 20
    python benchmarks/against_mbo_queue.py esh4-20231225.mbo.dbn.zst --from 2023-12-25T23:00:01 --estimators

The last compares the six estimators of queue positions that level-2 backtesters use, Tapeline's with mbo-queue's, and shows by how much they mislead.
"""

import argparse
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import tapeline as tl
from tapeline.config import QUEUE_MODELS
from tapeline.constants import Action, QueueModel, RecordFlag
from tapeline.feeds.dbn import DbnInput, records
from tapeline.feeds.synth import SynthConfig, write_synth
from tapeline.load import load_strategy

Array = np.ndarray[Any, Any]
SECOND = 1_000_000_000
LIFE = 60 * SECOND
RULES = tl.FillRules(crossing=False, iceberg_excess=False)
"""mbo-queue fills by history's fills alone, and knows no refills beyond what was displayed. Auctions it fills as trades: none follow `--from`."""


class Shadow(tl.Strategy):
    """One order: sent at a time, cancelled by a timer if it is still there."""

    at: tl.int64 = 0
    price: tl.int64 = 0
    is_buy: tl.int64 = 0
    life: tl.int64 = LIFE
    sent: tl.int64

    def on_start(self, market, orders, account):
        """Wait."""
        orders.wake_at(self.at)

    def on_timer(self, market, orders, account):
        """Join; the second time, leave."""
        if self.sent == 0:
            self.sent = orders.buy(self.price, 1) if self.is_buy == 1 else orders.sell(self.price, 1)
            orders.wake_at(orders.now + self.life)
        elif orders.is_live(self.sent):
            orders.cancel(self.sent)


@dataclass(frozen=True)
class Truth:
    """mbo-queue's answer: one line per shadow, and the share of fills that were first in their queue."""

    shadows: dict[str, Array]
    fifo: float


def read(path: Path) -> Array:
    """All MBO records of a file."""
    return np.concatenate([run.copy() for run, _ in records(DbnInput([path]))])


def aggressors_own(stream: Array) -> Array:
    """(records,) whether an F is the aggressor's own: its order id is that of the T before it."""
    trade = stream["action"] == Action.TRADE
    last = np.maximum.accumulate(np.where(trade, np.arange(len(stream)), -1))
    return (stream["action"] == Action.FILL) & (last >= 0) & (stream["order_id"] == stream["order_id"][last])


def every_second(stream: Array, start: int) -> Array:
    """Times a second apart from the first ordinary record on; those from `start` on (ns)."""
    ordinary = stream["ts_event"][stream["flags"] & RecordFlag.SNAPSHOT == 0]
    times = np.arange(ordinary[0] + SECOND, ordinary.max(), SECOND)
    return times[times >= start]


def mbo_queue(stream: Array, tick: int, times: Array, *, filtered: bool = True) -> Truth:
    """What mbo-queue finds, fed the records with each F of an aggressor turned to N (`filtered`)."""
    from mboq import fast  # noqa: PLC0415 - a development dependency

    action = stream["action"].copy()
    if filtered:
        action[aggressors_own(stream)] = Action.NONE
    columns = {name: stream[name] for name in ("ts_event", "order_id", "price", "size", "flags", "side")}
    found = fast.run(columns | {"action": action}, tick=tick, place_times=times, horizon_ns=LIFE)
    known = found["fifo_rank"] >= 0
    return Truth(found["shadows"], float((found["fifo_rank"][known] == 0).mean()))


def tapeline(path: Path, shadows: dict[str, Array], tick: str, rules: tl.FillRules = RULES) -> Array:
    """(shadows,) of fill times of the same orders in Tapeline, -1 where there is none. A life of their own may be given as "life", in ns."""
    n = len(shadows["sid"])
    rows = Shadow.array(n, at=shadows["t_place"], price=shadows["price"], is_buy=shadows["side"] == 1, life=shadows.get("life", LIFE))
    backtest = tl.Backtest(path, tick_size=tick, multiplier=1.0, rules=rules, limits=tl.Limits(orders_live_max=1), equity_every="24h")
    fills = backtest.run(rows).fills
    at = np.full(n, -1, np.int64)
    at[fills["row"].to_numpy()] = fills["ts_event"].to_physical().to_numpy()
    return at


@dataclass(frozen=True)
class Comparison:
    """Fill times of the same orders, mbo-queue's and Tapeline's (-1: not filled)."""

    truth: Truth
    at: Array
    overtime: Array
    """(shadows,) whether mbo-queue kept the order beyond its 60 s: it looks at its clock after an event, so the first event at or past the end still fills."""
    at_overtime: Array
    """(shadows,) as `at`, but those in overtime sent again with a life up to that event."""

    @property
    def differ(self) -> Array:
        """Numbers of orders that differ."""
        return np.flatnonzero(self.at != self.truth.shadows["true_t_fill"])

    @property
    def unexplained(self) -> Array:
        """Numbers of orders that differ even if they live as long as mbo-queue lets them."""
        return np.flatnonzero(self.at_overtime != self.truth.shadows["true_t_fill"])

    def __str__(self) -> str:
        """One line, and one for every order that differs."""
        shadows, at = self.truth.shadows, self.at
        equal = (at >= 0) & (at == shadows["true_t_fill"])
        filled = f"mbo-queue fills {shadows['true_filled'].sum():,}, Tapeline {(at >= 0).sum():,}, {equal.sum():,} of them at the same nanosecond"
        lines = [f"{len(at):,} orders: {filled}; FIFO {self.truth.fifo:.3f}; unexplained: {len(self.unexplained)}"]
        for i in self.differ:
            after = (shadows["true_t_fill"][i] - shadows["t_place"][i]) / SECOND
            why = "Tapeline fills it then, too, if the order lives so long" if self.overtime[i] and i not in self.unexplained else "UNEXPLAINED"
            lines.append(f"  order {i} at {shadows['price'][i] / 1e9}: mbo-queue fills it {after:.6f} s after it was placed, its life being 60 s; {why}")
        return "\n".join(lines)


def compare(path: Path, tick: str, start: int = 0) -> Comparison:
    """One order per second and side from `start` (ns) on, joined where mbo-queue joins them, through both."""
    stream = read(path)
    truth = mbo_queue(stream, round(float(tick) * 1e9), every_second(stream, start))
    shadows = truth.shadows
    at = tapeline(path, shadows, tick)
    end = shadows["t_place"] + LIFE
    overtime = shadows["true_t_fill"] > end
    again = at.copy()
    if overtime.any():
        last = (stream["flags"] & RecordFlag.LAST != 0) & (stream["flags"] & RecordFlag.SNAPSHOT == 0)
        ends_of_events = np.maximum.accumulate(stream["ts_event"][last])
        first_past = ends_of_events[np.searchsorted(ends_of_events, end[overtime])]
        kept = {name: column[overtime] for name, column in shadows.items()}
        again[overtime] = tapeline(path, kept | {"life": first_past - kept["t_place"]}, tick)
    return Comparison(truth, at, overtime, again)


@dataclass(frozen=True)
class Estimate:
    """Fill times of the same orders by one estimator, mbo-queue's and Tapeline's, and those of the exact queue (-1: not filled)."""

    model: str
    theirs: Array
    ours: Array
    exact: Array
    overtime: Array
    """(shadows,) whether mbo-queue fills the order after its 60 s: see Comparison."""

    @property
    def differ(self) -> int:
        """How many orders differ that mbo-queue fills in time, or not at all."""
        return int(((self.ours != self.theirs) & ~self.overtime).sum())

    def __str__(self) -> str:
        """A line of a table."""
        both = (self.ours >= 0) & (self.exact >= 0)
        early = (self.exact - self.ours)[both] / SECOND
        numbers = (self.ours >= 0).sum(), ((self.ours >= 0) & (self.exact < 0)).sum(), ((self.ours < 0) & (self.exact >= 0)).sum(), (early != 0).sum()
        return f"| {self.model} | {' | '.join(f'{n:,}' for n in numbers)} | {early.mean():+.2f} s | {self.differ} |"


def estimators(path: Path, tick: str, start: int = 0) -> list[Estimate]:
    """The orders of `compare` by each estimator. mbo-queue's see the unfiltered records: no estimator looks at fills."""
    stream = read(path)
    shadows = mbo_queue(stream, round(float(tick) * 1e9), every_second(stream, start), filtered=False).shadows
    exact = tapeline(path, shadows, tick)
    found = []
    for k, model in enumerate(QUEUE_MODELS[QueueModel.RISK_AVERSE :]):
        theirs = np.where(shadows["est_filled"][:, k] == 1, shadows["est_t_fill"][:, k], -1)
        ours = tapeline(path, shadows, tick, replace(RULES, queue=model))
        found.append(Estimate(model, theirs, ours, exact, theirs > shadows["t_place"] + LIFE))
    return found


def print_estimators(path: Path, tick: str, start: int) -> None:
    """Two tables: one-lot orders, and the example market maker, by queue model."""
    found = estimators(path, tick, start)
    print("| queue | filled | wrongly | missed | filled at another time | too early, on average | differ from mbo-queue's |\n|---|---|---|---|---|---|---|")
    print(f"| exact | {(found[0].exact >= 0).sum():,} | | | | | |")
    print(*found, sep="\n")
    maker = load_strategy(f"{Path(__file__).parents[1] / 'examples' / 'touch_maker.py'}:TouchMaker")
    rows = [tl.Row(maker(), rules=tl.FillRules(queue=model), label=model) for model in QUEUE_MODELS[QueueModel.EXACT :]]
    result = tl.Backtest(path, tick_size=tick, multiplier=50.0).run(*rows)
    print("\n| queue | fills of TouchMaker | PnL, gross |\n|---|---|---|")
    for label, gross in result.equity.group_by("strategy", maintain_order=True).agg(pl.col("gross").last()).iter_rows():
        print(f"| {label} | {result.fills.filter(pl.col('strategy') == label).height:,} | {gross:,.2f} |")


def simulated(directory: Path, seed: int) -> Path:
    """A simulated session with icebergs and partial cancels."""
    path = directory / f"{seed}.dbn"
    write_synth(path, SynthConfig(records=8_000, seed=seed, live_orders=2_000, partial_cancel_share=0.1, iceberg_share=0.03))
    return path


def main() -> None:
    """Compare, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, nargs="?", help="a DBN file of one CME instrument's MBO records")
    parser.add_argument("--tick", default="0.25", help="tick size of the instrument")
    parser.add_argument("--from", dest="start", default="1970-01-01", help="UTC time from which orders are placed")
    parser.add_argument("--simulated", type=int, default=0, metavar="N", help="compare on N simulated sessions, too")
    parser.add_argument("--estimators", action="store_true", help="compare estimators of queue positions instead")
    given = parser.parse_args()
    start = int(np.datetime64(given.start, "ns").astype(np.int64))
    if given.estimators:
        print_estimators(given.file, given.tick, start)
    elif given.file is not None:
        print(compare(given.file, given.tick, start))
    with tempfile.TemporaryDirectory() as directory:
        for seed in range(given.simulated):
            print(f"seed {seed}: {compare(simulated(Path(directory), seed), '0.25')}")


if __name__ == "__main__":
    main()
