"""How the groups of a feed read the ring of notices, and what each sees of them."""

import numpy as np

from tapeline.engine.records import FEED, GROUP, NEVER, NOTICE, ON_BOOK
from tapeline.jit import kernel, leaf
from tapeline.market.book import FEATURES_N, FEATURES_OFFSET, MARKET, RUN
from tapeline.market.ladder import LEVEL_SIZE
from tapeline.memory import address_of, copy, record_at, unit, unseen

FEED_SIZE = FEED.itemsize
FEATURES_SIZE, WIDE = 8 * FEATURES_N, 88
"""All features, and how many bytes of them are copied at a time: of more LLVM makes a call."""
SHOWN_OF_MARKET = MARKET.fields["tick"][1]
"""Bytes of a Market, its first, that notices bring."""
if FEATURES_SIZE % WIDE:
    raise TypeError("features are not copied whole")


@leaf
def notice_at(engine, number):
    """A notice by its number; the ring's size is a power of two."""
    return record_at(engine.notices, number & (engine.notices_capacity - 1), NOTICE)


@leaf
def group_at(engine, index):
    """A group by its number."""
    return record_at(engine.groups, np.int64(index), GROUP)


@leaf
def feed_at(engine, index):
    """A feed by its number."""
    return record_at(engine.feeds, index, FEED)


@leaf
def keep_market(group):
    """The place in the ring of the notice that a group sees may be written anew: copy it to the group's own market."""
    if group.market != group.markets:
        copy(group.markets, group.market, SHOWN_OF_MARKET)
        copy(group.markets + FEATURES_OFFSET, group.market + FEATURES_OFFSET, FEATURES_SIZE)
        group.market = group.markets


@leaf
def levels_at(engine, number):
    """Address of the levels of a notice, by its number."""
    return engine.levels + (number & (engine.notices_capacity - 1)) * 2 * engine.depth * LEVEL_SIZE


@leaf
def copy_levels(to, depth, source, source_depth, n):
    """Copy the `n` best levels of both sides from one address, where so many lie of each side, to another."""
    copy(to, source, n * LEVEL_SIZE)
    copy(to + depth * LEVEL_SIZE, source + source_depth * LEVEL_SIZE, n * LEVEL_SIZE)


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
    to_features, source = address_of(to) + FEATURES_OFFSET, address_of(notice.market) + FEATURES_OFFSET
    first, n = record_at(group.declared, kept, RUN), group.declared_n - kept
    if n == 1 and first.n == 1:
        copy(to_features + 8 * first.first, source + 8 * first.first, 8)
        return
    plan.to, plan.source = to_features, source
    plan.runs, plan.runs_n = address_of(first), n
    copy_runs(plan)


@leaf
def unread(engine, feed):
    """Number of the first notice that a feed's groups have not read."""
    return engine.notices_written if feed.due == NEVER else feed.cursor


@leaf
def turn_page(engine, feed, now):
    """The groups of a feed read a notice that was due `now`: find the next that concerns one of them, and when it is due.

    Whether that is there is as good as a coin: no branch.
    """
    written, number = engine.notices_written, feed.cursor + 1
    notice = notice_at(engine, number)
    while unseen(np.int64((number < written) & (notice.classes & feed.classes == 0))):
        number += 1
        notice = notice_at(engine, number)
    due = max(notice.ts_recv + feed.latency, now)
    feed.cursor = number
    feed.due = NEVER if number == written else due
    feed.due_last = now


@leaf
def first_feed(engine):
    """The address of the feed whose next notice is due first, and when."""
    best, due = engine.feeds, feed_at(engine, 0).due
    for f in range(1, engine.feeds_n):
        other = feed_at(engine, f)
        if other.due < due:
            best, due = address_of(other), other.due
    return best, due


@leaf
def next_feed(engine, address, due):
    """After a delivery to the feed at an address: the one whose next notice is due first, and when. Mostly that is this or one of the next, at one time."""
    if engine.feeds_n == 1:
        return engine.feeds, feed_at(engine, 0).due
    while address < engine.feeds + engine.feeds_n * FEED_SIZE:
        if record_at(address, 0, FEED).due == due:
            return address, due
        address += FEED_SIZE
    return first_feed(engine)


@leaf
def receive(engine, group, notice, number):
    """A notice is shown to a group: the market that it sees is brought up to date; of one that it sees in the ring, what its accounts look at."""
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
def receive_until(engine, group, end):
    """A group that lags is shown all notices before number `end` that concern it; where it sees them in the ring, the last is enough."""
    first = group.seen
    if group.in_ring:
        first = end - 1
        while first > group.seen and notice_at(engine, first).classes & group.classes == 0:
            first -= 1
        first = max(first, group.seen)
    for number in range(first, end):
        notice = notice_at(engine, number)
        if notice.classes & group.classes != 0:
            receive(engine, group, notice, number)
    group.seen = end


@leaf
def show(engine, group, notice, number):
    """A notice that concerns a group, and all before it, are shown to it."""
    if group.lags:
        receive_until(engine, group, number + 1)
    else:
        receive(engine, group, notice, number)


@leaf
def catch_up(engine, group):
    """What a group has read is shown to it."""
    if group.lags:
        receive_until(engine, group, unread(engine, feed_at(engine, group.reads)))


@kernel
def catch_up_all(engine):
    """What each group has read is shown to it."""
    for g in range(engine.groups_n):
        catch_up(engine, group_at(engine, g))


@kernel
def last_shown(engine, group):
    """The greatest ts_recv of the notices that were shown to a group, as long as each had a greater one than that before."""
    latest = record_at(group.market, 0, MARKET).ts_recv
    for i in range(1, engine.instruments):
        latest = max(latest, record_at(group.markets, i, MARKET).ts_recv)
    return latest


@kernel
def part_feeds(engine):
    """A notice was published whose ts_recv is before the last one's: from now on each group reads by itself.

    Such a notice is due when the last is that concerned the group, which may be earlier than the last of its neighbours'; until now none had to wait. From the
    last group on, since no feed has a greater number than its first group.
    """
    engine.runs_back = 0
    if engine.feeds_n == engine.groups_n:
        return
    catch_up_all(engine)
    for g in range(engine.groups_n - 1, -1, -1):
        group, feed = group_at(engine, g), feed_at(engine, g)
        number = unread(engine, feed_at(engine, group.reads))
        while number < engine.notices_written and notice_at(engine, number).classes & group.classes == 0:
            number += 1
        feed.latency, feed.cursor, feed.classes, feed.first, feed.n = group.feed, number, group.classes, g, 1
        feed.due_last = last_shown(engine, group) + group.feed
        feed.due = NEVER if number == engine.notices_written else max(notice_at(engine, number).ts_recv + group.feed, feed.due_last)
        group.reads = g
    engine.feeds_n = engine.groups_n
