"""The queue of what is to happen: a binary heap by (time, class, order of creation) over a pool of messages."""

import numpy as np

from tapeline.engine.records import CLASS_SHIFT, DUE, MESSAGE, NEVER, NOT_YET
from tapeline.jit import kernel, leaf
from tapeline.memory import record_at


@leaf
def new_message(agenda):
    """Index of a fresh message; 0 and agenda.full if there is none left."""
    index = agenda.free
    if index == 0:
        agenda.full = 1
        return np.int64(0)
    message = record_at(agenda.messages, index, MESSAGE)
    agenda.free = message.next_free
    message.parked = 0
    message.place = 0
    message.reason = 0
    return index


@leaf
def free_message(agenda, index):
    """Give a message back."""
    record_at(agenda.messages, index, MESSAGE).next_free = agenda.free
    agenda.free = index


@leaf
def next_time(agenda):
    """Time of the first entry; NEVER if there is none."""
    return record_at(agenda.heap, 0, DUE).time if agenda.n > 0 else NEVER


@leaf
def set_due(agenda, place, time, order, message):
    """Write one entry of the heap."""
    entry = record_at(agenda.heap, place, DUE)
    entry.time = time
    entry.order = order
    entry.message = message


@kernel
def push(agenda, time, due_class, message):
    """Let something happen at a time."""
    agenda.next_due = min(agenda.next_due, time)
    order = due_class << CLASS_SHIFT | agenda.created
    agenda.created += 1
    push_as(agenda, time, order, message)


@kernel
def push_as(agenda, time, order, message):
    """As push, with an order of its own."""
    if message == 0:  # no message was left: the driver stops the run
        return
    place = agenda.n
    agenda.n += 1
    while place > 0:
        above = record_at(agenda.heap, (place - 1) >> 1, DUE)
        if above.time < time or (above.time == time and above.order < order):
            break
        set_due(agenda, place, above.time, above.order, above.message)
        place = (place - 1) >> 1
    set_due(agenda, place, time, order, message)


@kernel
def pop(agenda):
    """Take the first entry out; its message."""
    first = record_at(agenda.heap, 0, DUE).message
    agenda.n -= 1
    last = record_at(agenda.heap, agenda.n, DUE)
    time, order, message = last.time, last.order, last.message
    place = 0
    while True:
        child = 2 * place + 1
        if child >= agenda.n:
            break
        at = record_at(agenda.heap, child, DUE)
        if child + 1 < agenda.n:
            right = record_at(agenda.heap, child + 1, DUE)
            if right.time < at.time or (right.time == at.time and right.order < at.order):
                child += 1
                at = right
        if time < at.time or (time == at.time and order < at.order):
            break
        set_due(agenda, place, at.time, at.order, at.message)
        place = child
    set_due(agenda, place, time, order, message)
    return first


@leaf
def look_at_room(engine):
    """Something fills up: let the event loop look at all rings and journals before the next tape event."""
    engine.notices_fit = 0
    engine.agenda.next_due = NOT_YET
