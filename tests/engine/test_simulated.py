"""Simulated sessions, too large for random programs: the two engines on the examples' strategies, and what a replay allocates."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import tapeline as tl
from tapeline.feeds.synth import SynthConfig, write_synth
from tapeline.load import load_strategy
from tapeline.pages import Growing
from tapeline.verify import compare, verify

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def session(path, records):
    """A simulated session of two instruments."""
    write_synth(path, SynthConfig(records=records, live_orders=2_000, instruments=2, gap_scale=0.02))
    return path


def assert_examples_agree(path):
    """A strategy on two instruments, and a maker and a taker on one, record the same in both engines."""
    pair, maker, taker = (load_strategy(f"{EXAMPLES / name}") for name in ("pair.py:PairMaker", "touch_maker.py:TouchMaker", "ofi_taker.py:OrderFlowTaker"))
    settings = {"tick_size": "0.25", "multiplier": 50.0, "fees": tl.Fees(maker=-0.2, taker=1.4)}
    both = verify([pair()], path, instruments=[1, 2], **settings)
    one = verify([maker(), taker(threshold=30.0, hold_ns=10_000_000)], path, instruments=[1], **settings)
    for found in (both, one):
        assert found.is_equal, found
        assert found.lines["fills"] > 100


def test_100_000_simulated_records(tmp_path):
    """Books, features, orders, fills and accounts agree over 100,000 records of two instruments."""
    assert_examples_agree(session(tmp_path / "x.dbn.zst", 100_000))


class Resting(tl.Strategy):
    """A bid at the touch in each instrument, one after the other."""

    ids: (tl.int64, (2,))

    def on_book(self, market, orders, account):
        """Buy, if nothing rests."""
        i = market.instrument
        if market[i].has_bid and not orders.is_live(self.ids[i]):
            self.ids[i] = orders[i].buy(market[i].bid_price, 1)


def test_ticks_and_multipliers_by_instrument(tmp_path):
    """What is given by symbol holds for each instrument in both engines, and a saved run knows it when its data is read again."""
    path = session(tmp_path / "x.dbn", 10_000)
    settings = {"tick_size": {"SYN1": "0.25", 2: 0.25}, "multiplier": {"SYN1": 50, "SYN2": 20}}
    result = tl.Backtest(path, **settings).run(Resting())
    plain = tl.Backtest(path, tick_size="0.25", multiplier=1, engine="reference").run(Resting())
    assert set(result.fills["symbol"]) == {"SYN1", "SYN2"}
    assert result.fills.drop("notional").equals(plain.fills.drop("notional"))
    each, one = (dict(run.accounts.drop_nulls("symbol").select("symbol", "net").iter_rows()) for run in (result, plain))
    assert each == pytest.approx({"SYN1": 50 * one["SYN1"], "SYN2": 20 * one["SYN2"]})
    loaded = tl.Result.load(result.save(tmp_path / "run"))
    assert loaded.stats.by_instrument["markout_1s"].drop_nulls().len() == 2
    assert "SYN1" in str(loaded.explain(1))


def test_where_much_memory_is_refused_journals_grow_in_small_steps(tmp_path, monkeypatch):
    """A system that gives no room beyond what is used makes no difference to what is recorded."""
    path = session(tmp_path / "x.dbn", 100_000)
    maker = load_strategy(f"{EXAMPLES / 'touch_maker.py'}:TouchMaker")
    settings = {"tick_size": "0.25", "multiplier": 50.0, "instruments": [1], "threads": 1}
    rows = [maker(position_max=10 + k) for k in range(32)]
    at_once = tl.Backtest(path, **settings).run(*rows)
    refused, grow = [], Growing.grow

    def few(growing, n):
        if n > 3 * len(growing.records) + 10_000:
            refused.append(n)
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
        grow(growing, n)

    monkeypatch.setattr(Growing, "grow", few)
    assert compare(at_once, tl.Backtest(path, **settings).run(*rows)).is_equal
    assert len(refused) > 2


@pytest.mark.slow
def test_a_million_simulated_records(tmp_path):
    """Books, features, orders, fills and accounts agree over a million records of two instruments."""
    assert_examples_agree(session(tmp_path / "x.dbn", 1_000_000))


COUNT = """
import json, sys
from numba.core.runtime import rtsys
from tapeline.engine import session
from tapeline import Backtest, Latency
from tapeline.load import load_strategy

counts = []
chunk = session.Session.chunk

def counted(self, address, n):
    before = rtsys.get_allocation_stats().alloc
    chunk(self, address, n)
    counts.append(rtsys.get_allocation_stats().alloc - before)

session.Session.chunk = counted
classes = [load_strategy(name) for name in sys.argv[2:]]
latency = Latency(feed="50us", entry="100us", response="100us")
result = Backtest(sys.argv[1], tick_size="0.25", multiplier=1.0, instruments=[1], latency=latency).run(*[c() for c in classes])
print(json.dumps({"counts": counts, "fills": result.fills.height, "callbacks": result.counters["callbacks"]}))
"""


def test_nothing_is_allocated_per_event(tmp_path):
    """Numba's own counters: a replay allocates a few small things per chunk of 4,096 tape events, and nothing per event, callback, order or fill."""
    path = session(tmp_path / "x.dbn", 100_000)
    classes = [f"{EXAMPLES / 'touch_maker.py'}:TouchMaker", f"{EXAMPLES / 'ofi_taker.py'}:OrderFlowTaker", f"{Path(__file__).parent / 'programs.py'}:Watcher"]
    command = [sys.executable, "-c", COUNT, str(path), *classes]
    done = subprocess.run(command, env={**os.environ, "NUMBA_NRT_STATS": "1"}, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert len(found["counts"]) > 10
    assert found["callbacks"] > 10_000
    assert found["fills"] > 10
    assert sum(found["counts"]) <= 10 * len(found["counts"]), found
