"""Before a callback: the local clock of what reaches strategies, whether they want it, and what it shows."""

import numpy as np

from tapeline.engine.deliver import sample_before
from tapeline.engine.records import FIRST_CALLBACK, GROUP
from tapeline.engine.rules import learn
from tapeline.jit import leaf
from tapeline.market.book import MARKETS
from tapeline.memory import record_at


@leaf
def set_clock(engine, due, is_told):
    """Local time of a delivery: its due time, or later if something later was already processed, which is counted unless it is an answer that nobody hears."""
    if engine.ending:
        engine.now = engine.ts_end
    else:
        move_clock(engine, due, is_told)


@leaf
def move_clock(engine, due, is_told):
    """As set_clock, before the run's end."""
    now = max(due, max(engine.latest.ts_event, engine.now))
    engine.counters.clock_clamps += is_told & (now != due)
    sample_before(engine, now)
    engine.now = now


@leaf
def wants(row, callback):
    """Whether a row's class has a callback."""
    return (row.callbacks >> (callback - FIRST_CALLBACK)) & 1


@leaf
def call(engine, group_index, instrument, due):
    """Prepare a callback to rows of a group: what it shows. `due`: when it was due, of a notice; of other news NOT_YET."""
    group = record_at(engine.groups, np.int64(group_index), GROUP)
    learn(engine, group, engine.now)
    engine.call_group = group_index
    engine.call_due = due
    engine.call_market = group.market
    if engine.several:
        markets = record_at(engine.markets, 0, MARKETS)
        markets.first = group.markets
        markets.n = engine.instruments
        markets.instrument = instrument
