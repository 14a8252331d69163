"""The start of the simulated session: the orders that are there, and the snapshot that tells of them. Compiled."""
# Numba infers the types of kernels and mypy cannot see them:
# ruff: noqa: ANN001, ANN201, ANN202
# mypy: ignore-errors

from typing import Final

import numpy as np

from tapeline.constants import UNDEFINED_PRICE, Action, RecordFlag, Side
from tapeline.feeds.synth_book import BOOK, ORDER, QUEUE, enter, remember, uniform, write
from tapeline.feeds.synth_events import NEAR, order_size
from tapeline.jit import entry
from tapeline.memory import record_at
from tapeline.schema import MBO

SNAPSHOT: Final = int(RecordFlag.SNAPSHOT) | int(RecordFlag.BAD_TS_RECV)
SNAPSHOT_END: Final = SNAPSHOT | int(RecordFlag.LAST)


@entry
def populate(market, index, count):
    """The orders that are there at the start: one at each best, some close to it, the others spread over a quarter of the window."""
    book = record_at(market.books, index, BOOK)
    middle, levels = market.levels // 2, market.levels
    book.bid, book.ask = -1, levels
    for i in range(count):
        distance = 0
        if i >= 2:
            distance = np.int64(uniform(market) * (6.0 if uniform(market) < 60.0 / count else levels / 4.0))
        is_bid = i % 2 == 0
        row = enter(market, index, Side.BID if is_bid else Side.ASK, middle - 1 - distance if is_bid else middle + distance, order_size(market))
        if distance <= NEAR:
            remember(market, row)


@entry
def snapshot(market):
    """Write the books into `market.out`, each as R and its orders by side, level and priority; goes on where the last call stopped; returns records written."""
    market.written = 0
    while market.snapshot_book < market.book_count and market.written + 1 < market.room:
        if market.snapshot_row == 0:
            _begin_snapshot(market)
        row = market.snapshot_row
        write(market, row, Action.ADD, record_at(market.orders, row, ORDER).size)
        _step_snapshot(market, row)
        record_at(market.out, market.written - 1, MBO)["flags"] = SNAPSHOT if market.snapshot_row else SNAPSHOT_END
    return market.written


@entry
def _begin_snapshot(market):
    record_at(market.orders, 0, ORDER).book = market.snapshot_book
    record_at(market.orders, 0, ORDER).side = Side.NONE
    record_at(market.orders, 0, ORDER).order_id = 0
    write(market, 0, Action.CLEAR, 0)
    clear = record_at(market.out, market.written - 1, MBO)
    clear["price"], clear["flags"] = UNDEFINED_PRICE, SNAPSHOT
    book = record_at(market.books, market.snapshot_book, BOOK)
    market.snapshot_side, market.snapshot_level = -1, book.bid
    market.snapshot_row = record_at(market.queues, market.snapshot_book * market.levels + book.bid, QUEUE).first


@entry
def _step_snapshot(market, row):
    """The order behind `row`, else the first of the next level, else of the other side, else none: then the next book's turn comes."""
    index = market.snapshot_book
    book, levels = record_at(market.books, index, BOOK), market.levels
    market.snapshot_row = record_at(market.orders, row, ORDER).behind
    while market.snapshot_row == 0:
        market.snapshot_level += market.snapshot_side
        if market.snapshot_level < 0:
            market.snapshot_side, market.snapshot_level = 1, book.ask
        elif market.snapshot_level >= levels:
            market.snapshot_book += 1
            return
        market.snapshot_row = record_at(market.queues, index * market.levels + market.snapshot_level, QUEUE).first
