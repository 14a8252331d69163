"""News of the market on their way: published into a ring as the exchange's clock goes on, delivered to each feed-latency group on its own clock."""

import numpy as np

from tapeline.constants import UNDEFINED_PRICE
from tapeline.engine.records import GROUP, NEVER, NOT_YET, NOTICE, ON_BOOK, ON_EVENT, ON_TRADE
from tapeline.engine.steps import steps_are_short
from tapeline.jit import kernel, leaf
from tapeline.market.activity import ACTIVITY_FEATURES, note_activity
from tapeline.market.book import BOOK, FEATURES_N, FEATURES_OFFSET, MARKET, RUN
from tapeline.market.ladder import LEVEL_SIZE
from tapeline.market.view import show_features
from tapeline.memory import address_of, copy, count_bits, record_at, unit, unseen
from tapeline.tape.normalise import ASK, CLEAR, SNAPSHOT, STATUS, TRADE

EVENT_SIZE, RUN_SIZE = 48, RUN.itemsize
FEATURES_SIZE, WIDE = 8 * FEATURES_N, 88
"""All features, and how many bytes of them are copied at a time: of more LLVM makes a call."""
SHOWN_OF_MARKET = MARKET.fields["tick"][1]
"""Bytes of a Market, its first, that notices bring."""
if FEATURES_SIZE % WIDE:
    raise TypeError("features are not copied whole")
NOTICES_PER_EVENT_MAX = 3


@leaf
def notice_at(engine, number):
    """A notice by its number; the ring's size is a power of two."""
    return record_at(engine.notices, number & (engine.notices_capacity - 1), NOTICE)


@leaf
def group_at(engine, index):
    """A group by its number."""
    return record_at(engine.groups, np.int64(index), GROUP)


@leaf
def keep_market(group):
    """The place in the ring of the notice that a group sees may be written anew: copy it to the group's own market."""
    if group.market != group.markets:
        copy(group.markets, group.market, SHOWN_OF_MARKET)
        copy(group.markets + FEATURES_OFFSET, group.market + FEATURES_OFFSET, FEATURES_SIZE)
        group.market = group.markets


@kernel
def ring_is_full(engine):
    """Whether a group is so far behind that what the next event tells might not fit; if not, for how many notices there is room."""
    slowest = engine.notices_written
    short = bool(engine.explains and steps_are_short(engine))
    for g in range(engine.groups_n):
        group = group_at(engine, g)
        keep_market(group)
        slowest = min(slowest, group.cursor if group.due != NEVER else slowest)
        short |= engine.shown_capacity - (group.shown_written - group.shown_read) < engine.shown_room
    engine.notices_fit = engine.notices_capacity - (engine.notices_written - slowest)
    return engine.notices_fit < NOTICES_PER_EVENT_MAX or short


@unit("copy_runs")
def copy_runs(plan):
    """Copy the Runs of features that the plan names. A unit: the call in this loop made the event loop spill registers, features or not (12 instructions)."""
    for i in range(plan.runs_n):
        run = record_at(plan.runs, i, RUN)
        copy(plan.to + 8 * run.first, plan.source + 8 * run.first, 8 * run.n)
    return 0


@leaf
def copy_features(plan, group, to, notice):
    """Copy the features that a group's class declares from a notice to the group's market; what only other classes declared is not there for it.

    All of them at once, where nobody declares others: in a few wide moves, where runs take 60 instructions, unless there is but one feature.
    """
    kept = 0 if notice.what == ON_BOOK else group.of_views  # those stay as the last notice of a view showed them
    if group.sees_all and kept == 0:
        for first in range(0, FEATURES_SIZE, WIDE):
            copy(address_of(to) + FEATURES_OFFSET + first, address_of(notice.market) + FEATURES_OFFSET + first, WIDE)
        return
    plan.to = address_of(to) + FEATURES_OFFSET
    plan.source = address_of(notice.market) + FEATURES_OFFSET
    plan.runs = group.declared + RUN_SIZE * kept
    plan.runs_n = group.declared_n - kept
    if plan.runs_n == 1 and record_at(plan.runs, 0, RUN).n == 1:
        offset = 8 * record_at(plan.runs, 0, RUN).first
        copy(plan.to + offset, plan.source + offset, 8)
    else:
        copy_runs(plan)


@leaf
def levels_at(engine, number):
    """Address of the levels of a notice, by its number."""
    return engine.levels + (number & (engine.notices_capacity - 1)) * 2 * engine.depth * LEVEL_SIZE


@leaf
def copy_levels(to, depth, source, source_depth, n):
    """Copy the `n` best levels of both sides from one address, where so many lie of each side, to another."""
    copy(to, source, n * LEVEL_SIZE)
    copy(to + depth * LEVEL_SIZE, source + source_depth * LEVEL_SIZE, n * LEVEL_SIZE)


@leaf
def publish(engine, book, event, what, classes):
    """A notice sets out to the classes that asked for it."""
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
    for g in range(engine.groups_n):
        group = record_at(engine.groups, g, GROUP)
        is_first = (group.due == NEVER) & (classes & group.classes != 0)  # of what the group has not read: a coin, hence no branch
        due = max(event.ts_recv + group.feed, group.due_last) if is_first else group.due
        group.cursor = number if is_first else group.cursor
        group.due = due
        next_due = min(next_due, due)
    # if there may be no room for what the next tape event brings, the event loop looks at the ring before
    engine.agenda.next_due = next_due if engine.notices_fit >= NOTICES_PER_EVENT_MAX else NOT_YET
    engine.counters.notices += count_bits(np.int64(classes))  # one per class


@leaf
def turn_page(engine, group, now):
    """A group reads a notice that was due `now`: find the next that concerns it, and when it is due. Whether that is there is as good as a coin: no branch."""
    written, number = engine.notices_written, group.cursor + 1
    notice = notice_at(engine, number)
    while unseen(np.int64((number < written) & (notice.classes & group.classes == 0))):
        number += 1
        notice = notice_at(engine, number)
    due = max(notice.ts_recv + group.feed, now)
    group.cursor = number
    group.due = NEVER if number == written else due
    group.due_last = now


@leaf
def first_group(engine):
    """The group whose next notice is due first, and when."""
    best, due = np.int64(0), group_at(engine, 0).due
    for g in range(1, engine.groups_n):
        other = group_at(engine, g).due
        if other < due:
            due = other
            best = np.int64(g)
    return best, due


@leaf
def next_group(engine, index, due):
    """After a delivery to a group: the one whose next notice is due first, and when. Mostly that is this or one of the next, at the same time."""
    if engine.groups_n == 1:
        return np.int64(0), group_at(engine, 0).due
    for g in range(index, engine.groups_n):
        if group_at(engine, g).due == due:
            return np.int64(g), due
    return first_group(engine)


@leaf
def receive(engine, group, notice, number):
    """A group reads a notice: the market that it sees is brought up to date; of one that it sees in the ring, what its accounts look at."""
    if group.in_ring:
        group.market = address_of(notice.market)
        own = record_at(group.markets, 0, MARKET)
        own.mark = notice.market.mark
        own.has_mark = notice.market.has_mark
        return
    market = record_at(group.markets, np.int64(notice.instrument), MARKET)
    copy(address_of(market), address_of(notice.market), SHOWN_OF_MARKET)
    if group.declared_n != 0:
        copy_features(engine.plan, group, market, notice)
    if group.depth > 1 and notice.what == ON_BOOK:
        copy_levels(market.levels, group.depth, levels_at(engine, number), engine.depth, group.depth)


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
