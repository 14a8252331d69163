"""News of phases of trading on their way to the strategies: one under way per group and instrument. Units of their own: few runs know of phases."""

import numpy as np

from tapeline.engine.agenda import free_message, message_at, new_message, push_far
from tapeline.engine.calls import call, set_clock
from tapeline.engine.records import FIRST_CALLBACK, GROUP, NOT_YET, ON_STATUS, PHASE, PHASE_DUE
from tapeline.jit import entry, kernel
from tapeline.market.book import BOOK, MARKET, PHASE_CHANGE
from tapeline.memory import record_at, unit


@entry
def follow_phases(engine, instrument):
    """A book is there: the first change of its phase sets out to every group."""
    book = record_at(engine.books, instrument, BOOK)
    for group in range(engine.groups_n):
        send_phase(engine, book, group, np.int64(0), NOT_YET)


@kernel
def send_phase(engine, book, group_index, number, after):
    """Change `number` of a book's phases sets out to a group, as news of the market do; it does not overtake the change before."""
    if number == book.phases_n:
        return
    message = new_message(engine.agenda)
    message.kind = PHASE
    message.node = group_index
    message.instrument = book.index
    message.size = number
    feed = record_at(engine.groups, group_index, GROUP).feed
    push_far(engine.agenda, max(record_at(book.phases, number, PHASE_CHANGE).ts_recv + feed, after), PHASE_DUE, message)


@unit("deliver_phase")
def deliver_phase(engine):
    """News engine.phase_message reach a group at engine.phase_due; the callback to be made, or 0. Of several changes that are there by now the last is told."""
    message = message_at(engine.phase_message)
    group_index, number = np.int64(message.node), message.size
    group = record_at(engine.groups, group_index, GROUP)
    book = record_at(engine.books, np.int64(message.instrument), BOOK)
    free_message(engine.agenda, message)
    engine.counters.late_news += set_clock(engine, engine.phase_due)
    while number + 1 < book.phases_n and record_at(book.phases, number + 1, PHASE_CHANGE).ts_recv + group.feed <= engine.now:
        number += 1
    send_phase(engine, book, group_index, number + 1, engine.phase_due)
    change, status = record_at(book.phases, number, PHASE_CHANGE), engine.call_status
    record_at(group.markets, np.int64(book.index), MARKET).phase = change.phase
    status.ts_event = change.ts
    status.ts_recv = change.ts_recv
    status.phase = change.phase
    status.instrument = book.index
    if (group.callbacks >> (ON_STATUS - FIRST_CALLBACK)) & 1 == 0:
        return 0
    call(engine, group_index, np.int64(book.index))
    engine.call_classes = np.int64(group.classes)
    return ON_STATUS
