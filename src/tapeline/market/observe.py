"""Tape events into books, to look at them: the best prices at asked times, bars, and the size that rested over time and price.

The loop behind markouts, the report and `tapeline.heatmap`. Times are those of the exchange (`ts_event`), per book and never running back; a book is looked at
between its events only, as the last event at or before a time left it, until the data ends: what a quiet book last showed stands while other books have events.
Events of a snapshot move no clock: what the first one shows has rested there since before. Until another was taken (`ts_recv`), best prices and resting sizes
are those of the book that it replaces: a fill at the end of a day's file knows nothing of the next day's.
"""

import numpy as np

from tapeline.constants import UNDEFINED_PRICE
from tapeline.jit import entry, kernel, leaf
from tapeline.market.book import ASKS, BIDS, BOOK, DONE, side_of
from tapeline.market.ladder import has_best, size_at
from tapeline.market.replay import Replay, apply
from tapeline.memory import record_at
from tapeline.record import Record, float64, int64, uint8
from tapeline.tape.records import CLEAR, EVENT, FILL, LAST, SNAPSHOT, TRADE, side_index

# what observe() answers besides DONE and MAKE_ROOM
BARS_FULL, PRINTS_FULL = 10, 11
CLOCK_START = np.int64(-(2**62))
"""The clock of a book before its first ordinary event."""


class Quote(Record):
    """Best prices, 1e-9; UNDEFINED_PRICE where a side is empty or nothing is known."""

    bid: int64 = UNDEFINED_PRICE
    ask: int64 = UNDEFINED_PRICE


class Bar(Record):
    """What happened in one interval of time; only intervals with events have a bar."""

    start: int64
    bid: int64  # best prices as the last event left them, 1e-9
    ask: int64
    low: int64  # least and greatest of all best prices, 1e-9
    high: int64
    events: int64
    trades: int64
    volume: int64  # lots


class Print(Record):
    """One trade."""

    ts: int64
    price: int64  # 1e-9
    size: int64
    side: uint8  # of the aggressor


class Heat(Record):
    """Size that rests at `rows` ticks from `tick_low` on, in `columns` intervals from `start` on, both sides: a mean over the time of each interval."""

    start: int64
    bin_ns: int64
    columns: int64
    column: int64  # the one that is being filled; -1 before the start
    tick_low: int64
    rows: int64
    area: int64  # address of 2 x rows float64: size x time since the column began, bids first
    since: int64  # address of 2 x rows int64: up to when that is counted
    sizes: int64  # address of columns x 2 x rows float64: the result
    quotes: int64  # address of `columns` Quotes: as each column ended
    prints: int64  # address
    prints_n: int64
    prints_capacity: int64


class Watch(Record):
    """What is asked about one book."""

    wanted: int64
    times: int64  # address of n times, growing
    quotes: int64  # address of n Quotes: the answers
    n: int64
    answered: int64
    bar_ns: int64
    bars: int64  # address
    bars_n: int64
    bars_capacity: int64
    heats: int64  # address of heats_n windows, in order of time, none overlapping
    heats_n: int64
    heats_done: int64
    clock: int64
    in_event: int64
    trades: int64  # of the event that is under way
    volume: int64
    replaced: Quote  # best prices of the book that a snapshot has replaced, up to when they stood; 0: none since the last ordinary event
    replaced_until: int64


class Observer(Replay):
    """Where the pass is."""

    watches: int64  # address of a Watch per book
    watches_n: int64
    at_end: int64
    end: int64  # of the data: the greatest time of an ordinary tape event of any instrument, as a run's own end


class Time(Record):
    """One asked time."""

    ts: int64


class Area(Record):
    """Size times time, or a mean size."""

    value: float64


QUOTE, BAR, PRINT, HEAT, WATCH, TIME, AREA = (c.dtype_ for c in (Quote, Bar, Print, Heat, Watch, Time, Area))


@kernel
def quote(book, to):
    """Write down the best prices."""
    bids, asks = side_of(book, BIDS), side_of(book, ASKS)
    to.bid = bids.best * book.grid if has_best(bids) else UNDEFINED_PRICE
    to.ask = -asks.best * book.grid if has_best(asks) else UNDEFINED_PRICE


@kernel
def count_area(heat, book, side, row, ts):
    """Bring the area of one level up to a time."""
    place = side * heat.rows + row
    since = record_at(heat.since, place, TIME)
    if ts > since.ts:
        tick = heat.tick_low + row
        size = size_at(side_of(book, side), -tick if side == ASKS else tick)
        record_at(heat.area, place, AREA).value += np.float64(size) * np.float64(ts - since.ts)
        since.ts = ts


@kernel
def advance_heat(heat, book, ts):
    """Finish the columns that end at or before a time; whether that was the last."""
    if heat.column < 0:
        heat.column = 0
        for place in range(2 * heat.rows):
            record_at(heat.since, place, TIME).ts = heat.start
    while heat.column < heat.columns and heat.start + (heat.column + 1) * heat.bin_ns <= ts:
        end = heat.start + (heat.column + 1) * heat.bin_ns
        for side in range(2):
            for row in range(heat.rows):
                count_area(heat, book, side, row, end)
                area = record_at(heat.area, side * heat.rows + row, AREA)
                record_at(heat.sizes, (heat.column * 2 + side) * heat.rows + row, AREA).value = area.value / heat.bin_ns
                area.value = 0.0
        quote(book, record_at(heat.quotes, heat.column, QUOTE))
        heat.column += 1
    return heat.column == heat.columns


@kernel
def answer(watch, book):
    """Write down the best prices at the next asked time, at which no event of the book is."""
    to = record_at(watch.quotes, watch.answered, QUOTE)
    if record_at(watch.times, watch.answered, TIME).ts < watch.replaced_until:
        to.bid = watch.replaced.bid
        to.ask = watch.replaced.ask
    else:
        quote(book, to)


@kernel
def pass_heats(watch, book, ts):
    """Finish the columns of windows that end at or before a time, up to which the book is as it is."""
    while watch.heats_done < watch.heats_n:
        heat = record_at(watch.heats, watch.heats_done, HEAT)
        if ts <= heat.start or not advance_heat(heat, book, ts):
            break
        watch.heats_done += 1


@kernel
def pass_time(watch, book, ts):
    """Answer what was asked about the time before `ts`, at which the book's next event is."""
    while watch.answered < watch.n and record_at(watch.times, watch.answered, TIME).ts < ts:
        if watch.clock != CLOCK_START:
            answer(watch, book)
        watch.answered += 1
    pass_heats(watch, book, ts)


@kernel
def touch_heat(watch, book, event):
    """Before a tape event changes a level that is watched over time: count what rested there up to now."""
    heat = record_at(watch.heats, watch.heats_done, HEAT)
    if heat.column < 0:
        return
    if event.kind == CLEAR:
        until = max(watch.clock, watch.replaced_until)  # what a snapshot replaces rested until it was taken
        for side in range(2):
            for row in range(heat.rows):
                count_area(heat, book, side, row, until)
    elif event.kind < FILL:
        side = side_index(event.side)
        row = (-np.int64(event.level) if side == ASKS else np.int64(event.level)) - heat.tick_low
        if 0 <= row < heat.rows:
            count_area(heat, book, side, row, watch.clock)
    elif event.kind == TRADE:
        to = record_at(heat.prints, heat.prints_n, PRINT)
        to.ts = watch.clock
        to.price = event.priority
        to.size = event.delta
        to.side = event.side
        heat.prints_n += 1


@kernel
def begin_snapshot(watch, book, event):
    """Keep what a snapshot is about to replace."""
    if watch.replaced_until > 0:  # by another one, and nothing happened since
        pass_time(watch, book, event.ts_recv)
    quote(book, watch.replaced)
    watch.replaced_until = event.ts_recv
    if watch.clock != CLOCK_START:
        pass_heats(watch, book, event.ts_recv)


@kernel
def before_event(watch, book, event):
    """What a tape event means to those who watch, before it is applied; PRINTS_FULL if there is no room to write that down, or DONE."""
    if not watch.in_event and event.flags & SNAPSHOT == 0 and event.ts_event > watch.clock:
        pass_time(watch, book, event.ts_event)
        watch.clock = event.ts_event
        watch.replaced_until = 0
    if event.kind == CLEAR and event.flags & SNAPSHOT != 0 and not watch.in_event:
        begin_snapshot(watch, book, event)
    if watch.heats_done < watch.heats_n:
        heat = record_at(watch.heats, watch.heats_done, HEAT)
        if heat.prints_n == heat.prints_capacity:
            return PRINTS_FULL
        touch_heat(watch, book, event)
    if event.kind == TRADE:
        watch.trades += 1
        watch.volume += event.delta
    return DONE


@kernel
def end_bar(watch, book):
    """Add an event that has ended to the bar of its interval; there is room."""
    start = watch.clock // watch.bar_ns * watch.bar_ns
    bar = record_at(watch.bars, max(watch.bars_n - 1, 0), BAR)
    if watch.bars_n == 0 or bar.start != start:
        bar = record_at(watch.bars, watch.bars_n, BAR)
        bar.start = start
        bar.low = UNDEFINED_PRICE
        bar.high = -UNDEFINED_PRICE
        watch.bars_n += 1
    quote(book, bar)
    bar.low = min(bar.low, min(bar.bid, bar.ask))
    if bar.bid != UNDEFINED_PRICE:
        bar.high = max(bar.high, bar.bid)
    if bar.ask != UNDEFINED_PRICE:
        bar.high = max(bar.high, bar.ask)
    bar.events += 1
    bar.trades += watch.trades
    bar.volume += watch.volume
    watch.trades = 0
    watch.volume = 0


@leaf
def after_event(watch, book, event):
    """What the end of an event means to those who watch; BARS_FULL if there is no room to write that down, or DONE."""
    if event.flags & LAST == 0:
        watch.in_event = 1
        return DONE
    watch.in_event = 0
    if event.flags & SNAPSHOT == 0 and watch.bar_ns > 0:
        if watch.bars_n == watch.bars_capacity:
            return BARS_FULL
        end_bar(watch, book)
    return DONE


@kernel
def finish(state):
    """The input has ended: times up to its end are answered."""
    for i in range(state.watches_n):
        watch = record_at(state.watches, i, WATCH)
        if watch.wanted and not watch.in_event:
            pass_time(watch, record_at(state.books, i, BOOK), state.end + 1)


@entry
def observe(state):
    """Go on until all tape events of the chunk are in their books, or the driver has to act."""
    if state.at_end:
        finish(state)
    while state.x < state.n:
        event = record_at(state.events, state.x, EVENT)
        book = record_at(state.books, np.int64(event.instrument), BOOK)
        watch = record_at(state.watches, np.int64(event.instrument), WATCH)
        if not state.applied:
            if event.flags & SNAPSHOT == 0:
                state.end = max(state.end, max(event.ts_event, event.ts_recv))
            if watch.wanted:
                result = before_event(watch, book, event)
                if result != DONE:
                    return result
            result = apply(state, book, event)
            if result != DONE:
                return result
            state.applied = 1
        if watch.wanted:
            result = after_event(watch, book, event)
            if result != DONE:
                return result
        state.applied = 0
        state.x += 1
    return DONE
