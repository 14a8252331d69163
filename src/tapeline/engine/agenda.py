"""The queue of what is to happen, in order of (time, class, creation), over a pool of messages.

Requests of rows with one latency reach the exchange in the order in which they were sent, and answers likewise: each kind has a lane, a list to which is added
at the end. Only what would come before the last of its lane, expiries, timers, and news of phases go through a binary heap. With many rows, whose messages are
many, that makes the queue as cheap as with one. Which comes first is looked at when it is asked for: three times. A lane keeps that of its first message,
which is read from there as soon as it is the first: of many rows' messages most are not in the first cache, and what is next waited for them.
"""

import numpy as np

from tapeline.engine.records import AGENDA, ANSWER, ARRIVAL, CLASS_SHIFT, DUE, END, LANE, MESSAGE, NEVER, NOT_YET, RESPONSE
from tapeline.jit import kernel, leaf
from tapeline.memory import address_of, record_at, unlikely, unseen
from tapeline.tape.records import COUNTER

LANES_OFFSET = np.int64(AGENDA.fields["lanes"][1])
MESSAGE_SIZE, NEXT_OFFSET = np.int64(MESSAGE.itemsize), np.int64(MESSAGE.fields["next"][1])


@leaf
def message_at(address):
    """The message at an address."""
    return record_at(address, 0, MESSAGE)


@leaf
def new_message(agenda):
    """A message that is free, with no reason; the pool's first, which nobody gets, and agenda.full if there is none left.

    Which is free after it is told by the distance, so that a pool of zeros is one of free messages, and takes no memory before it is used.
    """
    address = agenda.free
    if address == agenda.end:
        agenda.full = 1
        return message_at(agenda.messages)
    message = message_at(address)
    agenda.free = address + MESSAGE_SIZE + message.next
    message.parked = 0
    message.reason = 0
    return message


@leaf
def free_message(agenda, message):
    """Give a message back."""
    address = address_of(message)
    message.next = agenda.free - address - MESSAGE_SIZE
    agenda.free = address


@leaf
def set_due(entry, time, turn, message):
    """Write one entry of the heap."""
    entry.time = time
    entry.turn = turn
    entry.message = message


@leaf
def lane_at(agenda, which):
    """A lane by its number, which is the class of what is in it."""
    return record_at(address_of(agenda) + LANES_OFFSET, which, LANE)


@leaf
def first_message(agenda):
    """The address of what happens first, and whether it is an answer; there has to be something."""
    requests, answers, other = lane_at(agenda, ARRIVAL), lane_at(agenda, RESPONSE), record_at(agenda.heap, 0, DUE)
    is_answer = answers.due < requests.due
    message = message_at(answers.head if is_answer else requests.head)
    if unlikely(other.time <= min(answers.due, requests.due)) and comes_before(other.time, other.turn, message.due, message.turn):
        message = message_at(other.message)
        is_answer = (message.kind == ANSWER) | (message.kind == END)
    return address_of(message), is_answer


@leaf
def first_due(agenda):
    """When that is; NEVER, if nothing happens."""
    return min(min(lane_at(agenda, ARRIVAL).due, lane_at(agenda, RESPONSE).due), record_at(agenda.heap, 0, DUE).time)


@leaf
def comes_before(time, turn, other_time, other_turn):
    """Whether one happens before another."""
    return (time < other_time) | ((time == other_time) & (turn < other_turn))


@leaf
def push(agenda, time, due_class, message):
    """Let a request arrive at a time, or an answer: at the end of its lane, unless it comes before the last there."""
    agenda.next_due = min(agenda.next_due, time)
    address = address_of(message)
    if address == agenda.messages:  # none was left: the driver stops the run
        return
    turn = due_class << CLASS_SHIFT | agenda.created
    agenda.created += 1
    lane = lane_at(agenda, due_class)
    if time >= lane.due_last:
        message.due = time
        message.turn = turn
        message.next = agenda.messages
        lane.due = min(lane.due, time)
        lane.due_last = time
        record_at(lane.link, 0, COUNTER).n = address
        lane.link = address_of(message) + NEXT_OFFSET
        return
    push_as(agenda, time, turn, message)


@kernel
def push_far(agenda, time, due_class, message):
    """As push, through the heap: for what may be far away, behind which a lane would take nothing for as long."""
    agenda.next_due = min(agenda.next_due, time)
    if address_of(message) != agenda.messages:
        agenda.created += 1
        push_as(agenda, time, due_class << CLASS_SHIFT | agenda.created - 1, message)


@kernel
def push_as(agenda, time, turn, message):
    """As push_far, with a turn of its own."""
    message.due = time
    message.turn = turn
    place = agenda.heap_n
    agenda.heap_n += 1
    while place > 0:
        above = record_at(agenda.heap, (place - 1) >> 1, DUE)
        if comes_before(above.time, above.turn, time, turn):
            break
        set_due(record_at(agenda.heap, place, DUE), above.time, above.turn, above.message)
        place = (place - 1) >> 1
    set_due(record_at(agenda.heap, place, DUE), time, turn, address_of(message))


@leaf
def pop(agenda, which, message):
    """Take out the first message of all, which is that of lane `which` or of the heap."""
    lane = lane_at(agenda, which)
    if lane.head != address_of(message):
        pop_heap(agenda)
        return
    following, address = message.next, address_of(lane)
    lane.head = following
    lane.due = message_at(following).due
    is_not_last = unseen(np.int64(following != agenda.messages))  # no branch: of one row's, each may be the last
    lane.link = address + (lane.link - address) * is_not_last


@kernel
def pop_heap(agenda):
    """Take the first entry out of the heap."""
    agenda.heap_n -= 1
    last = record_at(agenda.heap, agenda.heap_n, DUE)
    time, turn, message = last.time, last.turn, last.message
    if agenda.heap_n == 0:
        time = turn = NEVER
    place = 0
    while True:
        child = 2 * place + 1
        if child >= agenda.heap_n:
            break
        at = record_at(agenda.heap, child, DUE)
        if child + 1 < agenda.heap_n:
            right = record_at(agenda.heap, child + 1, DUE)
            if comes_before(right.time, right.turn, at.time, at.turn):
                child += 1
                at = right
        if comes_before(time, turn, at.time, at.turn):
            break
        set_due(record_at(agenda.heap, place, DUE), at.time, at.turn, at.message)
        place = child
    set_due(record_at(agenda.heap, place, DUE), time, turn, message)


@leaf
def look_at_room(engine):
    """Something fills up: let the event loop look at all rings and journals before the next tape event."""
    engine.notices_fit = 0
    engine.agenda.next_due = NOT_YET
