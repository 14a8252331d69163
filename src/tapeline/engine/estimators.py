"""Where resting orders stand, as backtesters guess it that see displayed sizes and prints only. The formulas: `tapeline.reference.estimators`.

Two units of their own, compiled for runs in which a row's `queue` is an estimator. The core calls them by address: `note_event` for a tape event that may
concern such orders, before it is in the book; `settle_event` when an event that did concern some has ended.
"""

import math

import numpy as np

from tapeline.constants import FillRule, QueueModel
from tapeline.engine.answers import fill_order, open_lots
from tapeline.engine.lists import node_at, row_at
from tapeline.engine.records import GUESS, RESTING
from tapeline.engine.rules import show_ahead
from tapeline.engine.steps import REGUESSED
from tapeline.jit import kernel
from tapeline.market.book import BOOK, DIRTY, GUESSED, TIMED, TRADED, WATCHED, go_to, is_matching, side_of
from tapeline.market.ladder import size_at
from tapeline.memory import record_at, unit
from tapeline.tape.records import ASK, BID, CLEAR, EVENT, FILL, SNAPSHOT, TRADE

EXACT, RISK_AVERSE, FRONT_OPTIMISTIC = np.int64(QueueModel.EXACT), np.int64(QueueModel.RISK_AVERSE), np.int64(QueueModel.FRONT_OPTIMISTIC)
POWER2, POWER3, LOG = np.int64(QueueModel.POWER2), np.int64(QueueModel.POWER3), np.int64(QueueModel.LOG)
ESTIMATED, TRADE_THROUGH = np.int64(FillRule.ESTIMATED), np.int64(FillRule.TRADE_THROUGH)


@kernel
def guess_of(engine, index):
    """What is believed of an order's place; begun afresh when it has a new one."""
    node, guess = node_at(engine, index), record_at(engine.guesses, index, GUESS)
    if guess.arrival != node.arrival:
        guess.arrival = node.arrival
        guess.ahead = node.ahead
        guess.credit = 0.0
    return guess


@kernel
def note(engine, book, index):
    """An event concerns an order for the first time, perhaps: put it on the list of those, which is in order of rows, then of arrival."""
    node, guess = node_at(engine, index), guess_of(engine, index)
    if guess.noted:
        return guess
    guess.noted = 1
    guess.before = size_at(side_of(book, node.side), np.int64(node.level))
    guess.traded = 0
    guess.printed = 0
    guess.through = 0
    book.dirty |= GUESSED
    before, after = np.int64(0), engine.guesses_noted
    while after != 0:
        other = node_at(engine, after)
        if (node.row, node.arrival) < (other.row, record_at(engine.guesses, after, GUESS).arrival):
            break
        before, after = after, np.int64(record_at(engine.guesses, after, GUESS).next)
    guess.next = after
    if before == 0:
        engine.guesses_noted = index
    else:
        record_at(engine.guesses, before, GUESS).next = index
    return guess


@kernel
def forget(engine, book):
    """CLEAR: nobody stands in front, and what the event had shown is void."""
    for r in range(engine.rows_n):
        row = row_at(engine, r)
        index = np.int64(row.resting) if row.queue > EXACT else np.int64(0)
        while index != 0:
            if node_at(engine, index).instrument == book.index:
                guess_of(engine, index).ahead = 0.0
            index = np.int64(node_at(engine, index).row_next)
    drop(engine, book)


@kernel
def drop(engine, book):
    """Take all orders of a book off the list."""
    before, index = np.int64(0), engine.guesses_noted
    while index != 0:
        guess = record_at(engine.guesses, index, GUESS)
        following = np.int64(guess.next)
        if node_at(engine, index).instrument == book.index:
            guess.noted = 0
            if before == 0:
                engine.guesses_noted = following
            else:
                record_at(engine.guesses, before, GUESS).next = following
        else:
            before = index
        index = following


@kernel
def note_print(engine, book, event):
    """A TRADE: orders at its price, and at better ones, of rows that guess."""
    if not is_matching(book) or event.flags & SNAPSHOT or event.delta == 0 or (event.side != BID and event.side != ASK):
        return
    side = np.int64(0) if event.side == ASK else np.int64(1)
    sign = np.int64(1) if side == 0 else np.int64(-1)
    if side_of(book, side).own_best * book.grid < sign * event.priority:
        return
    for r in range(engine.rows_n):
        row = row_at(engine, r)
        index = np.int64(row.resting) if row.queue > EXACT else np.int64(0)
        while index != 0:
            node = node_at(engine, index)
            better_by = np.int64(node.level) * book.grid - sign * event.priority
            if node.instrument == book.index and node.side == side and (better_by == 0 or (better_by > 0 and row.trade_through)):
                guess = note(engine, book, index)
                guess.printed += event.delta
                if better_by == 0:
                    guess.traded += event.delta
                else:
                    guess.through = 1
            index = np.int64(node.row_next)


@unit("note_event")
def note_event(engine):
    """The tape event at engine.history_event is about to be applied; engine.history_first heads the list of our orders at its level."""
    event = record_at(engine.history_event, 0, EVENT)
    book = record_at(engine.books, np.int64(event.instrument), BOOK)
    go_to(book, event.ts_event)
    if event.kind == CLEAR:
        forget(engine, book)
    elif event.kind == TRADE:
        note_print(engine, book, event)
    elif event.kind != FILL:
        index = engine.history_first
        while index != 0:
            node = node_at(engine, index)
            if node.order_id != 0 and row_at(engine, node.row).queue > EXACT:
                note(engine, book, index)
            index = np.int64(node.next)
    return 0


@unit("settle_event")
def settle_event(engine):
    """An event of the book of engine.history_event has ended with that tape event: what it means for the orders that it concerned."""
    event = record_at(engine.history_event, 0, EVENT)
    book = record_at(engine.books, np.int64(event.instrument), BOOK)
    index = engine.guesses_noted
    while index != 0:
        guess, node = record_at(engine.guesses, index, GUESS), node_at(engine, index)
        if node.instrument == book.index and node.venue_state == RESTING and guess.arrival == node.arrival:
            settle(engine, book, index, event)
        index = np.int64(guess.next)
    drop(engine, book)
    book.dirty &= DIRTY | TRADED | WATCHED | TIMED
    return 0


@kernel
def settle(engine, book, index, event):
    """One order: what is in front of it now, and whether it was filled."""
    guess, node = record_at(engine.guesses, index, GUESS), node_at(engine, index)
    displayed = size_at(side_of(book, node.side), np.int64(node.level))
    if guess.traded > guess.ahead:
        guess.credit = min(guess.credit + (guess.traded - guess.ahead), float(node.left))
    ahead = max(guess.ahead - guess.traded, 0.0)
    if guess.through:
        guess.credit = float(node.left)
    after_trades = max(guess.before - guess.traded, 0)
    decrease = max(after_trades - displayed, 0)
    if decrease > 0:
        ahead -= share_in_front(np.int64(row_at(engine, node.row).queue), ahead, max(after_trades - ahead, 0.0)) * decrease
    guess.ahead = min(max(ahead, 0.0), float(displayed))
    in_front = np.int64(math.ceil(guess.ahead))
    if in_front != node.ahead:
        node.ahead = in_front
        show_ahead(engine, index, event, REGUESSED)
    lots = np.int64(guess.credit)
    if lots > 0:
        guess.credit -= lots
        message = fill_order(engine, book, index, event.ts_event, min(lots, open_lots(engine, node)))
        message.rule = TRADE_THROUGH if guess.through else ESTIMATED
        message.market_size = guess.printed


@kernel
def share_in_front(model, front, back):
    """The share of an unexplained decrease that is taken to have been in front of us."""
    if model == RISK_AVERSE:
        return 0.0
    if model == FRONT_OPTIMISTIC:
        return 1.0
    if model == LOG:
        a, b = math.log1p(front), math.log1p(back)
    else:
        a, b = front, back
        if model >= POWER2:
            a, b = a * front, b * back
        if model == POWER3:
            a, b = a * front, b * back
    return a / (a + b) if a + b > 0.0 else 0.0
