"""Before a callback: the local clock of what reaches strategies, whether they want it, and what it shows."""

from tapeline.engine.deliver import sample_before
from tapeline.engine.readers import catch_up, group_at
from tapeline.engine.records import FIRST_CALLBACK
from tapeline.engine.rules import learn
from tapeline.jit import leaf
from tapeline.market.book import MARKETS
from tapeline.memory import record_at


@leaf
def set_clock(engine, due):
    """Local time of a delivery: its due time, or later if something later was already processed: whether that is so, to be counted by those who are told."""
    if engine.ending:
        engine.now = engine.ts_end
        return False
    return move_clock(engine, due)


@leaf
def move_clock(engine, due):
    """As set_clock, before the run's end."""
    now = max(due, max(engine.latest.ts_event, engine.now))
    sample_before(engine, now)
    engine.now = now
    return now != due


@leaf
def wants(row, callback):
    """Whether a row's class has a callback."""
    return (row.callbacks >> (callback - FIRST_CALLBACK)) & 1


@leaf
def call(engine, group_index, instrument):
    """Prepare a callback to rows of a group, about something else than a notice: what it shows."""
    group = group_at(engine, group_index)
    catch_up(engine, group)
    learn(engine, group, engine.now)
    engine.call_group = group_index
    engine.call_market = group.market
    if engine.several:
        markets_of(engine, group, instrument)


@leaf
def markets_of(engine, group, instrument):
    """The markets of a group, to be indexed, that of an instrument first."""
    markets = record_at(engine.markets, 0, MARKETS)
    markets.first = group.markets
    markets.n = engine.instruments
    markets.instrument = instrument
    return markets
