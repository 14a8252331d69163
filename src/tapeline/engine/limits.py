"""Limits that need memory or money: orders per second, notional, loss.

`guard` is a unit of its own: runs without `Limits(loss_max=…)` neither call nor compile it.
"""

import math

import numpy as np

from tapeline.constants import Reason
from tapeline.engine.account import ACCOUNT
from tapeline.engine.deliver import STOP_ROW
from tapeline.engine.gateway import orders_of
from tapeline.engine.lists import node_at, row_at, ticket_at
from tapeline.engine.readers import group_at, notice_at, show
from tapeline.engine.records import CANCEL, FEED
from tapeline.engine.requests import send
from tapeline.jit import kernel
from tapeline.memory import record_at, unit

LOSS_LIMIT = np.int64(Reason.LOSS_LIMIT)
NOBODY = np.int32(-1)


@kernel
def net_of_currency(engine, row, first):
    """The net PnL of a row in all instruments of the currency of instrument `first`."""
    net = 0.0
    currency = record_at(row.accounts, first, ACCOUNT).currency
    for i in range(first, engine.instruments):
        account = record_at(row.accounts, i, ACCOUNT)
        if account.currency == currency:
            net += account.pnl
    return net


@kernel
def watch_loss(engine, row):
    """Stop a row that has lost too much in a currency."""
    if row.listens == NOBODY or row.loss_max == math.inf:
        return
    for i in range(engine.instruments):
        if record_at(row.accounts, i, ACCOUNT).currency == i:  # the first of its currency
            net = net_of_currency(engine, row, i)
            if net < -row.loss_max:
                journal_stop(engine, row, i, net)
                stop(engine, row)
                return


@kernel
def journal_stop(engine, row, instrument, net):
    """Record that a row is stopped; every row is once at most, so there is room."""
    journal = engine.stops
    to = record_at(journal.rows, journal.n, STOP_ROW)
    journal.n += 1
    to.ts = engine.now
    to.net = net
    to.limit = row.loss_max
    to.row = row.index
    to.instrument = instrument
    to.reason = LOSS_LIMIT


@kernel
def stop(engine, row):
    """The kill switch: nobody listens any more, and all orders are cancelled, from the first on."""
    row.listens = NOBODY
    row.timer = row.timer_pending = 0
    orders = orders_of(engine, row)
    last = np.int64(0)
    while True:  # the live order with the lowest id above the last one: slow, and once in a run
        first = ticket_at(row, -1)
        for place in range(row.mask + 1):
            ticket = ticket_at(row, place)
            if ticket.order_id > last and (first.order_id == 0 or ticket.order_id < first.order_id):
                first = ticket
        if first.order_id == 0:
            return
        last, index = first.order_id, np.int64(first.index)
        if not first.cancelling:
            first.cancelling = 1
            orders.request.order_id = last
            orders.request.side = node_at(engine, index).side
            send(orders, CANCEL, index, row.latency_cancel, LOSS_LIMIT)


@unit("guard")
def guard(engine):
    """Watch the losses of row engine.guard_row, or (NOBODY) of all to whom notice engine.call_number matters, which reaches the groups of engine.guard_feed."""
    if engine.guard_row != NOBODY:
        watch_loss(engine, row_at(engine, engine.guard_row))
        return 0
    feed, notice = record_at(engine.guard_feed, 0, FEED), notice_at(engine, engine.call_number)
    for g in range(feed.first, feed.first + feed.n):
        group = group_at(engine, g)
        if notice.classes & group.classes != 0:
            show(engine, group, notice, engine.call_number)
            for r in range(engine.rows_n):
                row = row_at(engine, r)
                if row.group == g:
                    watch_loss(engine, row)
    return 0
