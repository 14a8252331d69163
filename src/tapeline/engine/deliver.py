"""What reaches a row: answers of the exchange, applied to what the row knows; and what the journal keeps of them."""

from typing import Any

import numpy as np

from tapeline import schema
from tapeline.constants import UNDEFINED_PRICE, Reason, Status, Update
from tapeline.engine.account import ACCOUNT, book_fill
from tapeline.engine.answers import ASK, BID, STATUS_REJECTED, status_of
from tapeline.engine.lists import account_at, find_node, free_node, node_at, row_at, ticket_at
from tapeline.engine.readers import catch_up_all
from tapeline.engine.records import GROUP, NODE
from tapeline.engine.requests import add_exposure
from tapeline.jit import entry, kernel, leaf
from tapeline.market.book import BOOK, MARKET
from tapeline.memory import address_of, copy, record_at, unlikely
from tapeline.record import Record, bool_, float64, int32, int64, uint8

ACCEPTED, REJECTED, MODIFIED, MODIFY_REJECTED = (np.int64(u) for u in (Update.ACCEPTED, Update.REJECTED, Update.MODIFIED, Update.MODIFY_REJECTED))
CANCELLED, CANCEL_REJECTED, EXPIRED, FILL = np.int64(Update.CANCELLED), np.int64(Update.CANCEL_REJECTED), np.int64(Update.EXPIRED), np.int64(Update.FILL)
IN_FLIGHT, OPEN = np.int64(Status.IN_FLIGHT), np.int64(Status.OPEN)
NO_REASON, TRIGGERED = np.int64(Reason.NONE), np.int64(Update.TRIGGERED)
ENDS = np.int64(1) << CANCELLED | np.int64(1) << EXPIRED | np.int64(1) << REJECTED
"""A bit per answer that says that an order is over, if it was not filled."""


class FillRow(Record):
    """`schema.FILLS` with attributes."""

    ts_event: int64
    ts_local: int64
    order_id: int64
    price: int64
    size: int64
    size_left: int64
    market_size: int64
    row: int32
    instrument: int32
    side: uint8
    is_maker: bool_
    rule: uint8


class OrderRow(Record):
    """`schema.ORDERS` with attributes."""

    order_id: int64
    price: int64
    size: int64
    filled: int64
    ts_sent: int64
    ts_arrived: int64
    ts_end: int64
    ts_end_local: int64
    ahead_at_entry: int64
    ahead_at_end: int64
    row: int32
    instrument: int32
    modifies: int32
    requests_refused: int32
    side: uint8
    instruction: uint8
    status: uint8
    reason: uint8
    stop: int64
    ts_triggered: int64
    gaps: int32


class EquityRow(Record):
    """`schema.EQUITY` with attributes."""

    ts: int64
    position: int64
    cash: int64
    mark: int64
    maker_lots: int64
    taker_lots: int64
    maker_notional: int64
    taker_notional: int64
    cost: float64
    row: int32
    instrument: int32


class SignalRow(Record):
    """`schema.SIGNALS` with attributes."""

    ts: int64
    value: float64
    row: int32
    signal: int32


class StopRow(Record):
    """`schema.STOPS` with attributes."""

    ts: int64
    net: float64
    limit: float64
    row: int32
    instrument: int32
    reason: uint8


FILL_ROW, ORDER_ROW, EQUITY_ROW, SIGNAL_ROW, STOP_ROW = FillRow.dtype_, OrderRow.dtype_, EquityRow.dtype_, SignalRow.dtype_, StopRow.dtype_
EQUITY_ROW_SIZE = EQUITY_ROW.itemsize
_SAME: Any = ((FILL_ROW, schema.FILLS), (ORDER_ROW, schema.ORDERS), (EQUITY_ROW, schema.EQUITY), (SIGNAL_ROW, schema.SIGNALS), (STOP_ROW, schema.STOPS))
for _ours, _theirs in _SAME:
    if [_ours.fields[name][:2] for name in _theirs.names] != [_theirs.fields[name][:2] for name in _theirs.names]:
        raise TypeError(f"{_ours} is not laid out as {_theirs}")


BEGINNING, BEGINNING_SIZE = np.int64(NODE.fields["order_id"][1]), np.int64(ORDER_ROW.fields["ts_end"][1])
"""A node has what an OrderRow begins with, in the same order: one copy."""
if [n for n in NODE.names if NODE.fields[n][1] >= BEGINNING][:6] != list(ORDER_ROW.names[:6]):
    raise TypeError("a Node does not have what an OrderRow begins with")


@kernel
def record_fill(engine, message):
    """A fill, as its row learns of it."""
    journal = engine.fills
    to = record_at(journal.rows, journal.n, FILL_ROW)
    journal.n += 1
    to.ts_event = message.ts_event
    to.ts_local = engine.now
    to.order_id = message.order_id
    to.price = message.price
    to.size = message.size
    to.size_left = message.size_left
    to.market_size = message.market_size
    to.row = message.row
    to.instrument = message.instrument
    to.side = message.side
    to.is_maker = message.is_maker
    to.rule = message.rule


@leaf
def record_order(engine, node, status, reason, ts_end, ts_end_local):  # noqa: PLR0913, PLR0917 - an argument is a register, a field of a record is memory
    """An order, from birth to end."""
    journal = engine.orders
    to = record_at(journal.rows, journal.n, ORDER_ROW)
    journal.n += 1
    copy(address_of(to), address_of(node) + BEGINNING, BEGINNING_SIZE)
    to.ts_end = ts_end
    to.ts_end_local = ts_end_local
    to.ahead_at_entry = node.ahead_at_entry
    to.ahead_at_end = node.ahead
    to.row, to.instrument = node.row, node.instrument
    to.modifies, to.requests_refused = node.modifies, node.refused
    to.side = BID if node.side == 0 else ASK
    to.instruction = node.instruction
    to.status = status
    to.reason = reason
    to.stop = node.stop if node.stop == UNDEFINED_PRICE else stop_price(engine, node)
    to.ts_triggered = node.ts_triggered
    to.gaps = node.gaps


@kernel
def stop_price(engine, node):
    """The stop price of an order that has one, 1e-9."""
    return (node.stop if node.side == 0 else -node.stop) * record_at(engine.books, np.int64(node.instrument), BOOK).grid


@entry
def record_open(engine, indices):
    """The orders that are still open, or under way, at the end."""
    for i in range(len(indices)):
        node = node_at(engine, indices[i])
        record_order(engine, node, IN_FLIGHT if node.ts_arrived < 0 else OPEN, NO_REASON, -1, -1)


@kernel
def record_refused(engine, message):
    """An order that the gateway refused: it never left."""
    journal = engine.orders
    to = record_at(journal.rows, journal.n, ORDER_ROW)
    journal.n += 1
    to.order_id = message.order_id
    to.price = message.price
    to.size = message.size
    to.filled = 0
    to.ts_sent = message.ts_event
    to.ts_arrived = to.ts_end = to.ahead_at_entry = to.ahead_at_end = -1
    to.ts_end_local = engine.now
    to.row = message.row
    to.instrument = message.instrument
    to.modifies = to.requests_refused = 0
    to.side = message.side
    to.instruction = message.instruction
    to.status = STATUS_REJECTED
    to.reason = message.reason
    to.stop = message.level
    to.ts_triggered = -1
    to.gaps = 0


@leaf
def forget_order(engine, row, node, index, message, status):  # noqa: PLR0913, PLR0917 - an argument is a register, a field of a record is memory
    """The row learns that an order is over."""
    record_order(engine, node, status, message.reason, message.ts_event, engine.now)
    add_exposure(account_at(row, node), node.side, -node.exposure)
    row.live -= 1
    free_node(row, node, index)


@leaf
def learn_end(engine, message):
    """As apply_answer, for an END: its order is still what the message says, for it ends once, and its row has not learnt of that."""
    row, index = row_at(engine, message.row), np.int64(message.node)
    forget_order(engine, row, node_at(engine, index), index, message, message.what)


@kernel
def learn_fill(engine, row, node, message):
    """A fill reaches its row."""
    account = account_at(row, node)
    book = record_at(engine.books, np.int64(node.instrument), BOOK)
    record_fill(engine, message)
    signed = message.size if node.side == 0 else -message.size
    book_fill(account, signed, message.price // book.grid, message.is_maker)
    node.filled_known += message.size
    add_exposure(account, node.side, -message.size)
    node.exposure -= message.size


@kernel
def learn_modified(row, node, message):
    """An accepted modify reaches its row; the larger size stops counting when no other modify is under way."""
    node.modifies += 1
    node.modifies_pending -= 1
    node.size_known = message.size
    learn_place(message, node)
    node.price_known = message.price
    settle_modifies(row, node)


@kernel
def learn_place(message, node):
    """An order has a new place (and not one that it kept): from now on the feed's news of it are shown."""
    if message.place != 0:
        node.place_known = message.place
        node.ahead_shown = message.ahead_shown
        message.place = 0


@kernel
def settle_modifies(row, node):
    """When no modify is under way, an order is what is known of it: its price, and what is open of it."""
    if node.modifies_pending == 0:
        ticket_at(row, node.place).price_requested = node.price_known
        left = node.size_known - node.filled_known
        add_exposure(account_at(row, node), node.side, left - node.exposure)
        node.exposure = left


@kernel
def allow_cancels(row, number):
    """A mass cancel was refused: what it asked for is not being cancelled."""
    for place in range(row.mask + 1):
        ticket = ticket_at(row, place)
        if ticket.cancelling == number:
            ticket.cancelling = 0


@kernel
def learn_of_none(engine, row, message):
    """An answer about no order that lives: one that was refused before it left, or a mass cancel."""
    if message.what == REJECTED:
        record_refused(engine, message)
    elif message.what == CANCEL_REJECTED and message.by_exchange and message.order_id == 0:
        allow_cancels(row, message.market_size)


@kernel
def learn_refused(row, node, message):
    """A modify or cancel of an order was refused; by the exchange: it was under way, and is not any more."""
    node.refused += 1
    if message.by_exchange and message.what == MODIFY_REJECTED:
        node.modifies_pending -= 1
        settle_modifies(row, node)
    elif message.by_exchange and message.what == CANCEL_REJECTED:
        ticket_at(row, node.place).cancelling = 0


@leaf
def apply_answer(engine, row, message):
    """Bring what a row knows up to date with an answer, before its callback runs."""
    what = np.int64(message.what)
    index = np.int64(message.node)
    if index == 0:  # refused when there was no order of that number; by now there may be one
        index = find_node(row, message.order_id)
    node = node_at(engine, index)
    if index == 0 or node.order_id != message.order_id:  # it has ended, or never was
        learn_of_none(engine, row, message)
        return
    if what == FILL:
        learn_fill(engine, row, node, message)
    if (ENDS >> what) & 1 or (what == FILL and message.size_left == 0):
        forget_order(engine, row, node, index, message, status_of(what))
    elif what == ACCEPTED or what == TRIGGERED:
        learn_place(message, node)
    elif what == MODIFIED:
        learn_modified(row, node, message)
    elif what != FILL:
        learn_refused(row, node, message)


@kernel
def mark_of(engine, row, instrument):
    """The last mid that a row has seen, half ticks; UNDEFINED_PRICE before the first."""
    group = record_at(engine.groups, np.int64(row.group), GROUP)
    market = record_at(group.markets, np.int64(instrument), MARKET)
    return market.mark if market.has_mark else np.int64(UNDEFINED_PRICE)


@entry
def sample(engine, ts, forced):
    """Sample the accounts that changed since their last sample; all of them if `forced`."""
    catch_up_all(engine)
    for r in range(engine.rows_n):
        row = row_at(engine, r)
        for i in range(engine.instruments):
            account = record_at(row.accounts, i, ACCOUNT)
            last = record_at(engine.samples, r * engine.accounts_stride + i, EQUITY_ROW)
            mark = mark_of(engine, row, i)
            same = last.position == account.position and last.cash == account.cash_ticks and last.mark == mark
            if forced or not (same and last.maker_lots == account.maker_lots and last.taker_lots == account.taker_lots):
                last.ts = ts
                last.position = account.position
                last.cash = account.cash_ticks
                last.mark = mark
                last.maker_lots = account.maker_lots
                last.taker_lots = account.taker_lots
                last.maker_notional = account.maker_notional
                last.taker_notional = account.taker_notional
                last.cost = account.cost
                last.row = r
                last.instrument = i
                journal = engine.equity
                copy(journal.rows + journal.n * EQUITY_ROW_SIZE, address_of(last), EQUITY_ROW_SIZE)
                journal.n += 1


@leaf
def sample_before(engine, time):
    """A delivery is about to happen: if it lies beyond the next sample time, sample what is there before it."""
    if unlikely(time > engine.sample_due):
        sample_now(engine, time)


@kernel
def sample_now(engine, time):
    """The next sample is due before a time."""
    sample(engine, engine.sample_due, False)
    engine.sample_due = -(-time // engine.sample_every) * engine.sample_every
