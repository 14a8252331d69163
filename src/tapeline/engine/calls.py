"""Before a callback: the local clock of what reaches strategies, whether they want it, and what it shows."""

import numpy as np

from tapeline.engine.deliver import sample_before
from tapeline.engine.records import FIRST_CALLBACK, GROUP, STRATEGY_CLASS
from tapeline.engine.rules import learn
from tapeline.jit import leaf
from tapeline.market.book import MARKET, MARKETS
from tapeline.memory import address_of, record_at


@leaf
def set_clock(engine, due, is_told):
    """Local time of a delivery: its due time, or later if something later was already processed, which is counted unless it is an answer that nobody hears."""
    if engine.ending:
        engine.now = engine.ts_end
        return
    now = max(due, max(engine.latest.ts_event, engine.now))
    engine.counters.clock_clamps += is_told & (now != due)
    sample_before(engine, now)
    engine.now = now


@leaf
def wants(engine, row, callback):
    """Whether a row's class has a callback."""
    return (record_at(engine.classes, np.int64(row.strategy_class), STRATEGY_CLASS).callbacks >> (callback - FIRST_CALLBACK)) & 1


@leaf
def call(engine, group_index, instrument):
    """Prepare a callback to rows of a group: what it shows."""
    group = record_at(engine.groups, np.int64(group_index), GROUP)
    learn(engine, group, engine.now)
    engine.call_group = group_index
    engine.call_instrument = instrument
    engine.call_market = address_of(record_at(group.markets, np.int64(instrument), MARKET))
    if engine.several:
        markets = record_at(engine.markets, 0, MARKETS)
        markets.first = group.markets
        markets.n = engine.instruments
        markets.instrument = instrument
