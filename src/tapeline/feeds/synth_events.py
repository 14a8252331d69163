"""What happens in the simulated market, event by event. Compiled; the book itself is in synth_book."""
# Numba infers the types of kernels and mypy cannot see them:
# ruff: noqa: ANN001, ANN201, ANN202
# mypy: ignore-errors

import math
from typing import Final

import numpy as np

from tapeline.constants import Action, Side
from tapeline.feeds.synth_book import (
    BOOK,
    END_OF_EVENT,
    ORDER,
    QUEUE,
    RECENT,
    RECENT_ORDER,
    ROW,
    TOUCHED_MAX,
    enter,
    fill,
    leave,
    link,
    nearly_normal,
    remember,
    settle,
    uniform,
    unlink,
    write,
)
from tapeline.jit import entry
from tapeline.memory import record_at, view
from tapeline.schema import MBO

EVENT_RECORDS_MAX: Final = 4 * TOUCHED_MAX + 4
"""Per fill at most: its T, the aggressor's own F, its F, its C or M; and the aggressor's remainder."""
NEAR: Final = 2
"""Ticks from the best within which a new order counts as recent."""
GAP_STEP: Final = 1.0 / 16.0
GAP_RANGE: Final = 4.0
"""The table of gaps goes from -GAP_RANGE to GAP_RANGE standard deviations."""

_ADD_BASE: Final = 0.585
"""Adds among adds and cancels that keep the number of orders, with ESH4's fills; the feedback corrects the rest."""
_ADD_GAIN: Final = 3.0
_PICK_BEST: Final = 0.2 / 0.62
"""Per share of orders that join the best: without it the queues there grow into walls; with it they have a dozen orders, as ESH4's."""
_STAY: Final = 0.5
"""Chance that an event is of the same instrument as the last one: bursts are."""
_SLOW: Final = 0.94
_FAST: Final = 0.65
"""Two AR(1) processes and noise have the autocorrelation of ESH4's gaps (normal scores): 0.44, 0.35, 0.25, 0.19, 0.15, 0.07 at lags 1, 2, 3, 5, 10, 20."""
_SLOW_NOISE: Final = math.sqrt(1.0 - _SLOW**2)
_FAST_NOISE: Final = math.sqrt(1.0 - _FAST**2)
_SLOW_SCALE: Final = math.sqrt(0.25)
_FAST_SCALE: Final = math.sqrt(0.30)
_OWN_SCALE: Final = math.sqrt(0.45)
"""Variances that add up to 1."""


@entry
def generate(market, records_left):
    """Write events into `market.out` until it is full, or `records_left` records are written; returns how many are."""
    market.written = 0
    while market.written < records_left:
        left = records_left - market.written
        if market.room - market.written < min(left, EVENT_RECORDS_MAX):
            break
        _event(market, left < EVENT_RECORDS_MAX)
    return market.written


@entry
def _event(market, is_single):
    """One event: trade, modify, add or cancel; `is_single`: none of several records, so that the last event ends where it should."""
    _advance(market)
    index = market.book
    _push(market, index)
    draw = uniform(market)
    is_done = False
    if draw < market.trade_share:
        is_done = not is_single and _trade(market, index)
    elif draw < market.trade_share + market.modify_share:
        _modify(market, index)
        is_done = True
    if not is_done:
        live = record_at(market.books, index, BOOK).live
        share = _ADD_BASE + _ADD_GAIN * (1.0 - live / market.live_orders)
        if uniform(market) < min(max(share, 0.05), 0.95) and live < market.capacity:
            _add(market, index)
        else:
            _cancel(market, index)
    record_at(market.out, market.written - 1, MBO)["flags"] = END_OF_EVENT


@entry
def _advance(market):
    """Times, sequence and instrument of the next event."""
    market.event += 1
    market.sequence += 1
    market.slow = _SLOW * market.slow + _SLOW_NOISE * nearly_normal(market)
    market.fast = _FAST * market.fast + _FAST_NOISE * nearly_normal(market)
    z = _SLOW_SCALE * market.slow + _FAST_SCALE * market.fast + _OWN_SCALE * nearly_normal(market)
    place = (min(max(z, -GAP_RANGE), GAP_RANGE - 1e-9) + GAP_RANGE) / GAP_STEP
    step = np.int64(place)
    gaps = view(market.gaps, step + 2, np.float64)
    gap = np.exp(gaps[step] + (place - step) * (gaps[step + 1] - gaps[step]))
    market.ts_event += max(np.int64(gap), 1)
    # A third of ESH4's records take some hundred microseconds more than the others.
    jitter = (14_000.0 if uniform(market) < 0.7 else 270_000.0) * -np.log(1.0 - uniform(market))
    market.ts_recv = max(market.ts_recv, market.ts_event + np.int64(market.delay_ns + jitter))
    market.delta = 12_500 + np.int64(5_500.0 * uniform(market))
    if market.book_count > 1 and uniform(market) >= _STAY:
        draw = uniform(market)
        market.book = np.int64(draw * draw * market.book_count)  # the first instruments are busier


@entry
def _push(market, index):
    """Let the pressure of buyers or sellers wander, and turn it against the price where that nears the ends of its window."""
    book = record_at(market.books, index, BOOK)
    levels = market.levels
    away = ((book.bid + book.ask) * 0.5 - levels * 0.5) / (levels * 0.25)
    pressure = 0.995 * book.pressure + 0.25 * (uniform(market) - 0.5) - 0.01 * away * away * away
    book.pressure = min(max(pressure, -1.0), 1.0)


@entry
def _add(market, index):
    """A new order that does not cross: inside the spread, at the best, near it, or far away."""
    book = record_at(market.books, index, BOOK)
    tilt = 0.2 * book.pressure + 0.5 * (book.asks - book.bids) / max(book.live, 1)
    is_bid = book.bids == 0 or (book.asks > 0 and uniform(market) < 0.5 + tilt)
    distance = _distance(market, book.ask - book.bid - 1)
    levels = market.levels
    level = max(book.bid - distance, 0) if is_bid else min(book.ask + distance, levels - 1)
    row = enter(market, index, Side.BID if is_bid else Side.ASK, level, order_size(market))
    order = record_at(market.orders, row, ORDER)
    if distance <= NEAR:
        remember(market, row)
        if uniform(market) < market.iceberg_share:
            order.display = order.size
            order.hidden = order.size * (1 + np.int64(uniform(market) * 8.0))
    write(market, row, Action.ADD, order.size)


@entry
def _distance(market, room):
    """Ticks behind the best of the own side; negative: into the spread, which has `room` levels. ESH4's: 62 % at the best, 8 % one tick behind, a long tail."""
    if room > 0 and uniform(market) < 0.6:
        return -1 - np.int64(uniform(market) * uniform(market) * room)
    draw = uniform(market) - market.touch_share
    if draw < 0.0:
        return 0
    if draw < 0.08:
        return 1
    if draw < 0.11:
        return 2
    return np.int64(3.0 * np.exp(uniform(market) * np.log(market.levels / 12.0)))


@entry
def order_size(market):
    """Lots of a new order, as in ESH4: 75 % one, mean 2.2."""
    draw = uniform(market)
    if draw < 0.746:
        return 1
    if draw < 0.834:
        return 2
    if draw < 0.888:
        return 3
    if draw < 0.922:
        return 4
    return np.int64(5.0 * np.exp(1.6 * uniform(market)))


@entry
def _pick(market, index):
    """A live order: the youngest at the best price of the side under pressure, a recent one, or any."""
    book = record_at(market.books, index, BOOK)
    if uniform(market) < _PICK_BEST * market.touch_share:
        best = book.ask if uniform(market) < 0.5 + 0.4 * book.pressure else book.bid
        return np.int64(record_at(market.queues, index * market.levels + best, QUEUE).last)
    for _ in range(3):
        draw = uniform(market)
        back = 1 + np.int64(RECENT * draw * draw)
        if back > book.recent:
            break
        entry = record_at(market.recent, index * RECENT + (book.recent - back) % RECENT, RECENT_ORDER)
        if record_at(market.orders, entry.row, ORDER).order_id == entry.order_id and uniform(market) < 0.7:
            return entry.row
    return np.int64(record_at(market.live, index * market.capacity + np.int64(uniform(market) * book.live), ROW).row)


@entry
def _cancel(market, index):
    """Take an order out, or part of it. A side keeps its last order."""
    book = record_at(market.books, index, BOOK)
    row = _pick(market, index)
    pushed = Side.BID if book.pressure > 0 else Side.ASK
    if record_at(market.orders, row, ORDER).side == pushed and uniform(market) < 0.6 * abs(book.pressure):
        row = _pick(market, index)
    order = record_at(market.orders, row, ORDER)
    if order.size > 1 and uniform(market) < market.partial_cancel_share * 4.0:  # a quarter of the orders have more than one lot
        part = 1 + np.int64(uniform(market) * (order.size - 1))
        order.size -= part
        write(market, row, Action.CANCEL, part)
        return
    if (book.bids if order.side == Side.BID else book.asks) == 1:
        _modify(market, index)
        return
    write(market, row, Action.CANCEL, order.size)
    unlink(market, row)
    leave(market, row)


@entry
def _modify(market, index):
    """Smaller at the same place, larger at the back of the queue, or another price. ESH4: 89 % prices, mostly by a tick or two; 11 % smaller."""
    book = record_at(market.books, index, BOOK)
    row = _pick(market, index)
    order = record_at(market.orders, row, ORDER)
    draw = uniform(market)
    if order.size > 1 and draw < 0.4:
        order.size -= 1 + np.int64(uniform(market) * (order.size - 1))
        write(market, row, Action.MODIFY, order.size)
        return
    step = 1 if uniform(market) < 0.6 else np.int64(np.exp(1.6 * uniform(market)) + 1.0)
    if uniform(market) < 0.08:
        step *= 40
    level = np.int64(order.level) + (step if uniform(market) < 0.5 else -step)
    level = min(max(level, 0), book.ask - 1) if order.side == Side.BID else max(min(level, market.levels - 1), book.bid + 1)
    if level == order.level or draw > 0.98:
        level = np.int64(order.level)
        order.size += 1
    elif order.size > 1 and uniform(market) < 0.5:
        order.size -= 1
    elif uniform(market) < 0.2:
        order.size += 1
    unlink(market, row)
    order.level = level
    link(market, row)
    remember(market, row)
    write(market, row, Action.MODIFY, order.size)


@entry
def _trade(market, index):
    """An aggressive order: a new one, or a live one modified into the market. False if there is nothing that it may take."""
    book, aggressor = record_at(market.books, index, BOOK), record_at(market.orders, 0, ORDER)
    if book.bids == 0 or book.asks == 0:
        return False
    limit = _aim(market, index)
    if not _can_take(market, index):
        return False
    own = 0
    if uniform(market) < market.crossing_share:
        own = _pick(market, index)
        candidate = record_at(market.orders, own, ORDER)
        if candidate.side != aggressor.side or candidate.hidden > 0 or (book.bids if candidate.side == Side.BID else book.asks) < 2:
            own = 0
    if own:
        unlink(market, own)
        aggressor.order_id, aggressor.size = record_at(market.orders, own, ORDER).order_id, record_at(market.orders, own, ORDER).size
    else:
        market.order_id += 1
        aggressor.order_id = market.order_id
    _execute(market, index, own, limit)
    market.ts_recv += 8_000 + np.int64(4_000.0 * uniform(market))  # what it did to the book comes in a packet of its own
    if own:
        _finish_modified(market, own, limit)
    else:
        _finish_new(market, index, limit)
    return True


@entry
def _can_take(market, index):
    """Whether the aggressor's opposite side has more than its last lot."""
    book = record_at(market.books, index, BOOK)
    is_buy = record_at(market.orders, 0, ORDER).side == Side.BID
    best, opposite = (book.ask, book.asks) if is_buy else (book.bid, book.bids)
    first = record_at(market.queues, index * market.levels + best, QUEUE).first
    return opposite > 1 or record_at(market.orders, first, ORDER).size > 1


@entry
def _aim(market, index):
    """Give the aggressor (row 0) its side, size and limit; returns the limit."""
    book, aggressor = record_at(market.books, index, BOOK), record_at(market.orders, 0, ORDER)
    margin = market.levels // 8
    is_buy = uniform(market) < 0.5 + 0.45 * book.pressure
    if is_buy and book.ask > market.levels - margin:
        is_buy = False
    elif not is_buy and book.bid < margin:
        is_buy = True
    best = np.int64(book.ask if is_buy else book.bid)
    aggressor.book = index
    aggressor.side = Side.BID if is_buy else Side.ASK
    if uniform(market) < market.sweep_share:
        depth = 1 + np.int64(uniform(market) * 4.0)
        aggressor.size = 10 + np.int64(uniform(market) * 60.0)
        return best + depth if is_buy else best - depth
    aggressor.size = _aggressor_size(market)
    first = record_at(market.orders, record_at(market.queues, index * market.levels + best, QUEUE).first, ORDER)
    if first.size <= 12 and uniform(market) < 0.5:  # many take the order that they see
        aggressor.size = max(aggressor.size, first.size)
    return best


@entry
def _aggressor_size(market):
    """Lots of an aggressive order: ESH4's prints have mean 3.3, 60 % one."""
    draw = uniform(market)
    if draw < 0.66:
        return 1
    if draw < 0.80:
        return 2
    if draw < 0.85:
        return 3
    if draw < 0.91:
        return 4 + np.int64(2.0 * uniform(market))
    return np.int64(6.0 * np.exp(1.7 * uniform(market)))


@entry
def _execute(market, index, own, limit):
    """Match the aggressor (row 0) with what rests up to `limit`: per level a T, the aggressor's own F if it was a live order, and an F per passive order."""
    book, aggressor = record_at(market.books, index, BOOK), record_at(market.orders, 0, ORDER)
    is_buy = aggressor.side == Side.BID
    while aggressor.size > 0 and (book.ask <= limit if is_buy else book.bid >= limit):
        printed = market.written
        aggressor.level = book.ask if is_buy else book.bid
        write(market, 0, Action.TRADE, 0)
        if own:
            write(market, 0, Action.FILL, 0)
        traded = _match(market, index)
        if traded == 0:
            market.written = printed
            return
        record_at(market.out, printed, MBO)["size"] = traded
        if own:
            record_at(market.out, printed + 1, MBO)["size"] = traded
        aggressor.size -= traded


@entry
def _match(market, index):
    """Fill the orders of the aggressor's level in their order; lots traded. The last order of a side keeps a lot."""
    book, aggressor = record_at(market.books, index, BOOK), record_at(market.orders, 0, ORDER)
    queue = record_at(market.queues, index * market.levels + aggressor.level, QUEUE)
    traded = 0
    while traded < aggressor.size and market.touched_count <= TOUCHED_MAX - 2 and queue.first != 0:
        order = record_at(market.orders, queue.first, ORDER)
        is_last = (book.asks if aggressor.side == Side.BID else book.bids) == 1
        size = min(aggressor.size - traded, order.size - (1 if is_last else 0))
        if size <= 0:
            break
        fill(market, queue.first, size)
        traded += size
    return traded


@entry
def _finish_new(market, index, limit):
    """Settle the fills; in one of three cases what a new aggressor still wants rests at its limit, told before the fills' C's or after them."""
    book, aggressor = record_at(market.books, index, BOOK), record_at(market.orders, 0, ORDER)
    is_free = book.ask > limit if aggressor.side == Side.BID else book.bid < limit
    rests = aggressor.size > 0 and is_free and book.live < market.capacity and uniform(market) < 0.33
    row = 0
    if rests:
        row = enter(market, index, aggressor.side, limit, aggressor.size)
        record_at(market.orders, row, ORDER).order_id = aggressor.order_id
        remember(market, row)
        if uniform(market) < 0.3:
            write(market, row, Action.ADD, aggressor.size)
            row = 0
    settle(market)
    if row:
        write(market, row, Action.ADD, aggressor.size)


@entry
def _finish_modified(market, own, limit):
    """Settle the fills, then the aggressor itself: gone, or resting with what is left at its new price."""
    aggressor, order = record_at(market.orders, 0, ORDER), record_at(market.orders, own, ORDER)
    settle(market)
    if aggressor.size == 0:
        write(market, own, Action.CANCEL, order.size)
        leave(market, own)
        return
    book = record_at(market.books, order.book, BOOK)
    order.level = min(limit, book.ask - 1) if order.side == Side.BID else max(limit, book.bid + 1)
    order.size = aggressor.size
    link(market, own)
    write(market, own, Action.MODIFY, order.size)
