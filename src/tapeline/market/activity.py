"""The features of what happened in a book, and when: formula, unit and source of each.

They follow every tape event (`note_activity`) and are brought up to date at the end of every ordinary event (`update_activity`), on the clock of `ts_event`
(which never runs back here). Since they change with every event, they wake nobody: they are up to date whenever something else does. Both are units, compiled
and called for runs that declare one of them. What "rate" means: every count n(t) decays by exp(-dt / 1 s) between events, so that it is a number per second.
"""

import math
from typing import Final

import numpy as np

from tapeline.constants import FEATURE_ACTIVITY_FIRST, UNDEFINED_PRICE, Feature
from tapeline.jit import kernel, leaf
from tapeline.market.book import ASKS, BIDS, BOOK, NUMBER, TIMED, side_of
from tapeline.market.features import mid, put
from tapeline.market.ladder import LEVEL_NONE, has_best
from tapeline.memory import address_of, copy, exp, record_at, repeat, unit
from tapeline.record import Record, float64, int64
from tapeline.tape.records import ADD, ASK, BID, COUNTER, EVENT, EXCESS, FILL, MODIFIED, REMOVE, SNAPSHOT, TRADE

EVENT_RATE, ADD_RATE, CANCEL_RATE, TRADE_RATE, VOLUME_RATE, TRADE_FLOW, TRADE_IMBALANCE, VWAP = (np.int64(f) for f in tuple(Feature)[17:25])
TRADE_AGE, TRADE_SIZE, TOUCH_AGE_BID, TOUCH_AGE_ASK, RETURN_100MS, RETURN_1S, RETURN_10S, VOLATILITY_REALISED = (np.int64(f) for f in tuple(Feature)[25:33])
ACTIVITY_FEATURES: Final = np.int64(sum(1 << f for f in Feature if f >= FEATURE_ACTIVITY_FIRST))
RETURN_STEPS: Final = 10
"""A return looks back over so many steps of its own grid of times: its horizon is exact to a tenth."""
STEP_NS: Final = 10_000_000
"""The finest grid; those of the other horizons, and of the realised volatility, are multiples of it."""
STEPS_PER_SECOND: Final = 100
VOLATILITY_STEPS: Final = 60
SECONDS_KNOWN: Final = np.int64((1 << VOLATILITY_STEPS) - 1)
NOT_YET: Final = np.int64(-(2**62))
SAMPLES: Final = 16
"""Of mids that are kept of each grid: more than the steps of a return, a multiple of what is written at once."""
MASK_64 = np.int64(63)


class ActivityMemory(Record):
    """What the features of this module remember of one book."""

    # decayed; in the order of what is counted below
    event_rate: float64
    add_rate: float64
    cancel_rate: float64
    trade_rate: float64
    volume_rate: float64
    trade_flow: float64
    now: int64 = int(NOT_YET)  # ts_event of the last event, never running back
    # what few events change: features as they are,
    trade_size: float64 = math.nan
    vwap: float64 = math.nan
    realised: float64 = math.nan
    # and what they follow from
    mid: float64 = math.nan  # as the last event left it; NaN while a side is absent
    then_100ms: float64 = math.nan  # the mids that the returns are against
    then_1s: float64 = math.nan
    then_10s: float64 = math.nan
    trade_time: int64 = int(NOT_YET)
    bid_since: int64 = int(NOT_YET)  # since when the best bid has its price; NOT_YET: there is none
    ask_since: int64 = int(NOT_YET)
    # so far what a row of features needs
    notional: float64  # of all trades with a price
    volume_priced: int64
    # counted in the event under way
    adds: int64  # adds and cancels in the order of the kinds of tape events
    cancels: int64
    trades: int64
    volume: int64
    signed_volume: int64
    size_last: float64  # of the last trade
    executed: int64  # lots that FILLs took and no REMOVE has taken away yet
    step: int64  # now in steps of the finest grid
    bid_level: int64 = int(LEVEL_NONE)
    ask_level: int64 = int(LEVEL_NONE)
    mid_twice: int64 = UNDEFINED_PRICE  # best bid + best ask, as the last event left them; while a side is absent, undefined
    mids_100ms: (float64, (32,)) = math.nan  # type: ignore[syntax]  # the mid at multiples of a tenth of the horizon, the last first; behind 16 whatever
    mids_1s: (float64, (32,)) = math.nan  # type: ignore[syntax]
    mids_10s: (float64, (32,)) = math.nan  # type: ignore[syntax]
    mids_spare: (float64, (16,))  # type: ignore[syntax]
    mid_second: float64 = math.nan  # at the last whole second
    seconds_known: int64  # a bit for each of the last seconds, the lowest for the last: whether the change of the mid in it is known
    squares: (float64, (128,))  # type: ignore[syntax]  # these changes squared, 0 if not known: of second k at -k & 63, and again 64 behind: any 60 lie in a row


ACTIVITY_MEMORY: Final = ActivityMemory.dtype_
COUNTS, MID_OFFSET, MIDS_100MS, MIDS_1S, MIDS_10S, MIDS_SPARE, SQUARES = (
    np.int64(ACTIVITY_MEMORY.fields[name][1]) for name in ("adds", "mid", "mids_100ms", "mids_1s", "mids_10s", "mids_spare", "squares")
)


@kernel
def note_rarely(memory, event):
    """Count what a tape event does, whatever it is.

    A REMOVE is a cancel unless it is half of a modify, or takes away what FILLs of its event took.
    """
    kind, flags, size = event.kind, event.flags, np.abs(event.delta)
    if flags & SNAPSHOT:
        return
    if kind == ADD:
        memory.adds += flags & MODIFIED == 0
    elif kind == REMOVE and flags & MODIFIED == 0:
        memory.cancels += memory.executed == 0
        memory.executed = max(memory.executed - size, 0)
    elif kind == FILL and flags & EXCESS == 0:
        memory.executed += size
    elif kind == TRADE:
        memory.trades += 1
        memory.volume += size
        memory.signed_volume += size if event.side == BID else -size if event.side == ASK else 0
        memory.size_last = np.float64(size)
        if event.priority != UNDEFINED_PRICE:
            memory.notional += np.float64(event.priority) * np.float64(size)
            memory.volume_priced += size


@leaf
def note_change(memory, event):
    """The same of an ADD or REMOVE: without a branch on which, nobody can predict it. FILLs are rare, and so is what they leave to be taken away."""
    if memory.executed != 0:
        note_rarely(memory, event)
    else:
        record_at(address_of(memory) + COUNTS, np.int64(event.kind) - ADD, COUNTER).n += np.int64(event.flags) & (MODIFIED | SNAPSHOT) == 0


@leaf
def note_event(book, event):
    """Count what a tape event does to a book."""
    book.dirty |= TIMED
    memory = record_at(book.activity_memory, 0, ACTIVITY_MEMORY)
    if event.kind >= FILL:
        note_rarely(memory, event)
    else:
        note_change(memory, event)


@unit("note_activity")
def note_activity(plan):
    """The same of plan.event to plan.book."""
    note_event(record_at(plan.book, 0, BOOK), record_at(plan.event, 0, EVENT))
    return 0


@kernel
def decay(memory, factor):
    """The rates: events, new orders, cancels, trades, lots traded, and lots bought less lots sold by aggressors. Per second.

    Intensities with an exponential kernel (Hawkes 1971), here of one second.
    """
    memory.event_rate = memory.event_rate * factor + 1.0
    memory.add_rate = memory.add_rate * factor + np.float64(memory.adds)
    memory.cancel_rate = memory.cancel_rate * factor + np.float64(memory.cancels)
    memory.trade_rate = memory.trade_rate * factor + np.float64(memory.trades)
    memory.volume_rate = memory.volume_rate * factor + np.float64(memory.volume)
    memory.trade_flow = memory.trade_flow * factor + np.float64(memory.signed_volume)
    memory.adds = 0
    memory.cancels = 0
    memory.trades = 0
    memory.volume = 0
    memory.signed_volume = 0
    memory.executed = 0


@kernel
def trade_imbalance(flow, volume):
    """Signed trade flow over traded volume, both as decayed: in [-1, 1], 1 where only buyers were aggressors; NaN before the first trade."""
    return flow / volume if volume > 0.0 else math.nan


@kernel
def vwap(memory):
    """Volume-weighted average price of all trades since the start: sum(price * size) / sum(size). Price; NaN before the first."""
    return memory.notional / (np.float64(memory.volume_priced) * 1e9) if memory.volume_priced else math.nan


@kernel
def age(now, since):
    """Time since something happened: since the last trade, since the best bid (ask) has its price. Seconds; NaN where there is none."""
    return np.float64(now - since) / 1e9 if since != NOT_YET else math.nan


@kernel
def change(now, then):
    """Return of the mid: now / then - 1, then being ten steps before the last multiple of the step. Dimensionless; NaN where one is not known, or then is 0."""
    return now / then - 1.0 if then != 0.0 else math.nan


@leaf
def mid_back(memory, mids):
    """The mid at the last but ten of the multiples of a step."""
    return record_at(address_of(memory) + mids, RETURN_STEPS, NUMBER).value


@leaf
def sample(memory, mids, passed):
    """The mid that held until now is that of all multiples of a step that were passed.

    All that are kept are moved, some at a time, and as many are written as can be: how many were passed nobody can predict.
    """
    to, spare, mid_now = address_of(memory) + mids, address_of(memory) + MIDS_SPARE, address_of(memory) + MID_OFFSET
    copy(spare, to, 8 * SAMPLES)
    for k in range(0, SAMPLES, 8):
        repeat(to + 8 * k, mid_now)
    copy(to + 8 * min(passed, np.int64(SAMPLES)), spare, 8 * SAMPLES)


@kernel
def pass_seconds(memory, before, now):
    """Note by how much the mid has changed in each second that was passed, squared: in the first of them, since it held until now."""
    for number in range(max(before + 1, now - VOLATILITY_STEPS + 1), now + 1):
        difference = memory.mid - (memory.mid_second if number == before + 1 else memory.mid)
        is_known = not math.isnan(difference)
        square, place = difference * difference if is_known else 0.0, -number & MASK_64
        record_at(address_of(memory) + SQUARES, place, NUMBER).value = square
        record_at(address_of(memory) + SQUARES, place + MASK_64 + 1, NUMBER).value = square
        memory.seconds_known = (memory.seconds_known << 1 | is_known) & SECONDS_KNOWN
    memory.mid_second = memory.mid


@kernel
def volatility_realised(memory, number):
    """Realised volatility: root of the sum of squared changes of the mid over the last 60 whole seconds, sampled once a second. Price, per minute.

    NaN before the first change is known (Andersen, Bollerslev 1998; of differences and not of logs, so that any price works).
    """
    total = 0.0
    for back in range(VOLATILITY_STEPS):
        total += record_at(address_of(memory) + SQUARES, (-number & MASK_64) + back, NUMBER).value
    return math.sqrt(total) if memory.seconds_known else math.nan


@kernel
def pass_steps(memory, now):
    """Multiples of the finest step were passed: sample the mid at those of every grid. Rare, so that events in between pay one compare."""
    step = now // STEP_NS
    before = memory.step
    memory.step = step
    sample(memory, MIDS_100MS, step - before)
    memory.then_100ms = mid_back(memory, MIDS_100MS)
    tenths = step // 10 - before // 10
    if tenths:
        sample(memory, MIDS_1S, tenths)
        memory.then_1s = mid_back(memory, MIDS_1S)
    second_before, second = before // STEPS_PER_SECOND, step // STEPS_PER_SECOND
    if second != second_before:
        sample(memory, MIDS_10S, second - second_before)
        memory.then_10s = mid_back(memory, MIDS_10S)
        pass_seconds(memory, second_before, second)
        memory.realised = volatility_realised(memory, second)


@kernel
def follow_touch(memory, book):
    """Note since when the best prices stand, and the mid that this event has left."""
    market, bids, asks = book.market, side_of(book, BIDS), side_of(book, ASKS)
    bid_level = bids.best if has_best(bids) else LEVEL_NONE
    ask_level = asks.best if has_best(asks) else LEVEL_NONE
    if bid_level != memory.bid_level:
        memory.bid_level = bid_level
        memory.bid_since = memory.now if has_best(bids) else NOT_YET
    if ask_level != memory.ask_level:
        memory.ask_level = ask_level
        memory.ask_since = memory.now if has_best(asks) else NOT_YET
    has_mid = market.has_bid & market.has_ask
    mid_twice = market.ask_price + market.bid_price if has_mid else np.int64(UNDEFINED_PRICE)
    if mid_twice != memory.mid_twice:  # a division that most events need not make
        memory.mid_twice = mid_twice
        memory.mid = mid(market.bid_price, market.ask_price) if has_mid else math.nan


@kernel
def show_activity(plan, memory, to):
    """Values of the features of this module, into a market."""
    wanted = plan.features
    put(to, wanted, EVENT_RATE, memory.event_rate)
    put(to, wanted, ADD_RATE, memory.add_rate)
    put(to, wanted, CANCEL_RATE, memory.cancel_rate)
    put(to, wanted, TRADE_RATE, memory.trade_rate)
    put(to, wanted, VOLUME_RATE, memory.volume_rate)
    put(to, wanted, TRADE_FLOW, memory.trade_flow)
    put(to, wanted, TRADE_IMBALANCE, trade_imbalance(memory.trade_flow, memory.volume_rate))
    put(to, wanted, VWAP, memory.vwap)
    put(to, wanted, TRADE_AGE, age(memory.now, memory.trade_time))
    put(to, wanted, TRADE_SIZE, memory.trade_size)
    put(to, wanted, TOUCH_AGE_BID, age(memory.now, memory.bid_since))
    put(to, wanted, TOUCH_AGE_ASK, age(memory.now, memory.ask_since))
    put(to, wanted, RETURN_100MS, change(memory.mid, memory.then_100ms))
    put(to, wanted, RETURN_1S, change(memory.mid, memory.then_1s))
    put(to, wanted, RETURN_10S, change(memory.mid, memory.then_10s))
    put(to, wanted, VOLATILITY_REALISED, memory.realised)


@leaf
def end_counts(memory, event):
    """Bring what does not need the book up to date, at the end of the event that a tape event belongs to; whether anything changed that few events change."""
    before = memory.now
    if before == NOT_YET:
        before = event.ts_event
        memory.step = before // STEP_NS
    memory.now = max(before, event.ts_event)
    has_traded = memory.trades != 0
    if has_traded:
        memory.trade_time = memory.now
        memory.trade_size = memory.size_last
        memory.vwap = vwap(memory)
    decay(memory, exp(np.float64(before - memory.now) / 1e9))
    has_passed = memory.now >= (memory.step + 1) * STEP_NS
    if has_passed:
        pass_steps(memory, memory.now)
    return has_traded | has_passed


@kernel
def end_event(book, event):
    """Bring the features of this module up to date, at the end of the event that a tape event belongs to."""
    memory = record_at(book.activity_memory, 0, ACTIVITY_MEMORY)
    end_counts(memory, event)
    follow_touch(memory, book)


@unit("update_activity")
def update_activity(plan):
    """The same of plan.book and plan.event. Nobody is told: 0."""
    end_event(record_at(plan.book, 0, BOOK), record_at(plan.event, 0, EVENT))
    return 0
