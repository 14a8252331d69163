"""News of the market on their way: published into a ring as the exchange's clock goes on, read by each feed on its own clock."""

import numpy as np

from tapeline.constants import UNDEFINED_PRICE
from tapeline.engine.readers import SHOWN_OF_MARKET, catch_up, copy_levels, feed_at, group_at, keep_market, levels_at, notice_at, unread
from tapeline.engine.records import NEVER, NOT_YET, ON_BOOK, ON_EVENT, ON_TRADE
from tapeline.engine.steps import steps_are_short
from tapeline.jit import kernel, leaf
from tapeline.market.activity import ACTIVITY_FEATURES, note_activity
from tapeline.market.book import BOOK
from tapeline.market.view import show_features
from tapeline.memory import address_of, copy, count_bits, record_at
from tapeline.tape.records import ASK, CLEAR, EVENT_SIZE, SNAPSHOT, STATUS, TRADE

NOTICES_PER_EVENT_MAX = 3


@kernel
def ring_is_full(engine):
    """Whether a feed is so far behind that what the next event tells might not fit; if not, for how many notices there is room."""
    short = bool(engine.explains and steps_are_short(engine))
    for g in range(engine.groups_n):
        group = group_at(engine, g)
        catch_up(engine, group)
        keep_market(group)
        short |= engine.shown_capacity - (group.shown_written - group.shown_read) < engine.shown_room
    slowest = engine.notices_written
    for f in range(engine.feeds_n):
        slowest = min(slowest, unread(engine, feed_at(engine, f)))
    engine.notices_fit = engine.notices_capacity - (engine.notices_written - slowest)
    return engine.notices_fit < NOTICES_PER_EVENT_MAX or short


@leaf
def publish(engine, book, event, what, classes):
    """A notice sets out to the classes that asked for it."""
    if event.ts_recv < engine.ts_published:
        engine.runs_back = 1
        engine.notices_fit = 0
    engine.ts_published = event.ts_recv
    number = engine.notices_written
    notice = notice_at(engine, number)
    engine.notices_written += 1
    engine.notices_fit -= 1
    market = book.market
    notice.ts_recv = event.ts_recv
    notice.classes = classes
    notice.what = what
    notice.instrument = book.index
    copy(address_of(notice.market), address_of(market), SHOWN_OF_MARKET)
    notice.market.ts_event = event.ts_event
    notice.market.ts_recv = event.ts_recv
    if engine.plan.features != 0:
        engine.plan.book = address_of(book)
        engine.plan.to = address_of(notice.market)
        engine.plan.of_view = what == ON_BOOK
        show_features(engine.plan)
    if engine.depth > 1 and what == ON_BOOK:
        copy_levels(levels_at(engine, number), engine.depth, market.levels, engine.plan.depth, engine.depth)
    if what != ON_BOOK:
        copy(address_of(notice.event), address_of(event), EVENT_SIZE)
    next_due = engine.agenda.next_due
    for f in range(engine.feeds_n):
        feed = feed_at(engine, f)
        is_first = (feed.due == NEVER) & (classes & feed.classes != 0)  # of what its groups have not read: a coin, hence no branch
        due = max(event.ts_recv + feed.latency, feed.due_last) if is_first else feed.due
        feed.cursor = number if is_first else feed.cursor
        feed.due = due
        next_due = min(next_due, due)
    # if there may be no room for what the next tape event brings, or feeds have to part, the event loop sees to it before
    engine.agenda.next_due = next_due if engine.notices_fit >= NOTICES_PER_EVENT_MAX else NOT_YET
    engine.counters.notices += count_bits(np.int64(classes))  # one per class


@kernel
def show_print(engine, notice):
    """Fill in the `trade` or `event` of the callback."""
    event, to = notice.event, engine.call_print
    to.ts_event = event.ts_event
    to.ts_recv = event.ts_recv
    to.size = abs(event.delta)
    to.sequence = event.sequence
    to.instrument = notice.instrument
    to.kind = event.kind
    to.flags = event.flags
    to.side = event.side
    if event.kind == TRADE:
        to.price = event.priority
    elif event.kind == CLEAR or event.kind == STATUS:
        to.price = UNDEFINED_PRICE
    else:
        grid = record_at(engine.books, np.int64(notice.instrument), BOOK).grid
        to.price = (-event.level if event.side == ASK else event.level) * grid


@kernel
def tell_followers(engine, book, event):
    """A tape event as such, for those who follow them all: features of what happens, latencies that are the feed's, on_event."""
    if event.flags & SNAPSHOT:
        return
    engine.feed_delay = event.ts_recv - event.ts_event
    if engine.plan.features & ACTIVITY_FEATURES:
        engine.plan.book = address_of(book)
        engine.plan.event = address_of(event)
        note_activity(engine.plan)
    if engine.event_classes != 0:
        publish(engine, book, event, ON_EVENT, engine.event_classes)
    if event.kind == TRADE and engine.trade_classes != 0:
        publish(engine, book, event, ON_TRADE, engine.trade_classes)


@leaf
def publish_trade(engine, book, event):
    """A trade, for those who follow them, unless `tell_followers` does it."""
    if engine.trade_classes != 0 and not engine.followed:
        publish(engine, book, event, ON_TRADE, engine.trade_classes)
