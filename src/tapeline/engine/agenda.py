"""The queue of what is to happen, in order of (time, class, creation), over a pool of messages.

Requests of rows with one latency reach the exchange in the order in which they were sent, and answers likewise: each kind has a lane, a ring to which is added
at the end. Only what would come before the last entry of its lane, timers, and news of phases go through a binary heap. With many rows, whose messages are
many, that makes the queue as cheap as with one.
"""

import numpy as np

from tapeline.engine.records import AGENDA, CLASS_SHIFT, DUE, LANE, MESSAGE, NEVER, NOT_YET, RESPONSE
from tapeline.jit import kernel, leaf
from tapeline.memory import address_of, record_at

HEAP = np.int64(2)
"""Where an entry is that is in no lane."""
LANES_OFFSET = np.int64(AGENDA.fields["lanes"][1])


@leaf
def new_message(agenda):
    """Index of a fresh message; 0 and agenda.full if there is none left.

    Which is free after it is told by the distance, so that a pool of zeros is one of free messages, and takes no memory before it is used.
    """
    index = agenda.free
    if index == agenda.capacity:
        agenda.full = 1
        return np.int64(0)
    message = record_at(agenda.messages, index, MESSAGE)
    agenda.free = index + 1 + message.next_free
    message.parked = 0
    message.place = 0
    message.reason = 0
    return index


@leaf
def free_message(agenda, index):
    """Give a message back."""
    record_at(agenda.messages, index, MESSAGE).next_free = agenda.free - index - 1
    agenda.free = index


@leaf
def set_due(entry, time, order, message):
    """Write one entry."""
    entry.time = time
    entry.order = order
    entry.message = message


@leaf
def comes_before(a, b):
    """Whether one entry happens before another."""
    return (a.time < b.time) | ((a.time == b.time) & (a.order < b.order))


@leaf
def head_at(agenda, source):
    """The first entry of a lane, or of the heap."""
    return record_at(address_of(agenda), source, DUE)


@leaf
def lane_at(agenda, which):
    """A lane by its number, which is the class of what is in it."""
    return record_at(address_of(agenda) + LANES_OFFSET, which, LANE)


@leaf
def entry_at(agenda, lane, number):
    """An entry of a lane by its number."""
    return record_at(lane.entries, number & agenda.lane_mask, DUE)


@leaf
def choose_first(agenda, source, time, order, message):
    """The first entry of a lane, or of the heap, is another: which is the first of all? Selects, since nobody can predict that."""
    set_due(head_at(agenda, source), time, order, message)
    lane = np.int64(comes_before(head_at(agenda, 1), head_at(agenda, 0)))
    from_heap = comes_before(head_at(agenda, HEAP), head_at(agenda, lane))
    agenda.first_source = HEAP if from_heap else lane
    first = head_at(agenda, agenda.first_source)
    set_due(agenda.first, first.time, first.order, first.message)


@kernel
def push(agenda, time, due_class, message):
    """Let something happen at a time."""
    agenda.next_due = min(agenda.next_due, time)
    order = due_class << CLASS_SHIFT | agenda.created
    agenda.created += 1
    if message == 0:  # none was left: the driver stops the run
        return
    if due_class <= RESPONSE:
        lane = lane_at(agenda, due_class)
        was_empty = lane.read == lane.written
        if was_empty or time >= entry_at(agenda, lane, lane.written - 1).time:
            set_due(entry_at(agenda, lane, lane.written), time, order, message)
            lane.written += 1
            if was_empty:
                choose_first(agenda, due_class, time, order, message)
            return
    push_as(agenda, time, order, message)


@kernel
def push_as(agenda, time, order, message):
    """As push, with an order of its own, through the heap."""
    place = agenda.heap_n
    agenda.heap_n += 1
    while place > 0:
        above = record_at(agenda.heap, (place - 1) >> 1, DUE)
        if above.time < time or (above.time == time and above.order < order):
            break
        set_due(record_at(agenda.heap, place, DUE), above.time, above.order, above.message)
        place = (place - 1) >> 1
    set_due(record_at(agenda.heap, place, DUE), time, order, message)
    find_head(agenda)


@kernel
def pop(agenda):
    """Take the first entry out; its message."""
    message, source = agenda.first.message, agenda.first_source
    if source == HEAP:
        pop_heap(agenda)
        find_head(agenda)
        return message
    lane = lane_at(agenda, source)
    lane.read += 1
    if lane.read == lane.written:  # so that a few entries stay in the cache
        lane.read = lane.written = 0
        choose_first(agenda, source, NEVER, NEVER, np.int64(0))
    else:
        entry = entry_at(agenda, lane, lane.read)
        choose_first(agenda, source, entry.time, entry.order, entry.message)
    return message


@kernel
def find_head(agenda):
    """The heap has changed."""
    if agenda.heap_n > 0:
        head = record_at(agenda.heap, 0, DUE)
        choose_first(agenda, HEAP, head.time, head.order, head.message)
    else:
        choose_first(agenda, HEAP, NEVER, NEVER, np.int64(0))


@kernel
def pop_heap(agenda):
    """Take the first entry out of the heap."""
    agenda.heap_n -= 1
    last = record_at(agenda.heap, agenda.heap_n, DUE)
    time, order, message = last.time, last.order, last.message
    place = 0
    while True:
        child = 2 * place + 1
        if child >= agenda.heap_n:
            break
        at = record_at(agenda.heap, child, DUE)
        if child + 1 < agenda.heap_n:
            right = record_at(agenda.heap, child + 1, DUE)
            if comes_before(right, at):
                child += 1
                at = right
        if time < at.time or (time == at.time and order < at.order):
            break
        set_due(record_at(agenda.heap, place, DUE), at.time, at.order, at.message)
        place = child
    set_due(record_at(agenda.heap, place, DUE), time, order, message)


@leaf
def look_at_room(engine):
    """Something fills up: let the event loop look at all rings and journals before the next tape event."""
    engine.notices_fit = 0
    engine.agenda.next_due = NOT_YET
