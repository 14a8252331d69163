"""What happens to the queue in front of an order of ours, journalled where `explain=True` asks for it: units that other runs neither compile nor call."""

from typing import Any

import numpy as np

from tapeline import schema
from tapeline.constants import QueueStep
from tapeline.engine.agenda import look_at_room
from tapeline.engine.lists import node_at
from tapeline.jit import kernel, leaf
from tapeline.market.book import BOOK
from tapeline.memory import address_of, record_at, unit
from tapeline.record import Record, int32, int64, uint8
from tapeline.tape.records import EVENT

PLACED, ADDED, REMOVED, FILLED, CLEARED, LOST, REGUESSED = (np.int64(step) for step in QueueStep)


class StepRow(Record):
    """`schema.STEPS` with attributes."""

    ts_event: int64
    order_id: int64
    ahead: int64
    size: int64
    stamp: int64
    row: int32
    what: uint8


STEP_ROW: Any = StepRow.dtype_
if [STEP_ROW.fields[name][:2] for name in schema.STEPS.names or ()] != [field[:2] for field in (schema.STEPS.fields or {}).values()]:
    raise TypeError(f"{STEP_ROW} is not laid out as {schema.STEPS}")


@leaf
def journal_step(engine, index, what, event):
    """The queue in front of an order changed by a tape event; for runs that want to know."""
    if engine.explains:
        engine.step_node, engine.step_what, engine.step_event = index, what, address_of(event)
        note_step(engine)


@leaf
def journal_placed(engine, index, ts_event):
    """An order took a place in a queue."""
    if engine.explains:
        engine.step_node, engine.step_what, engine.step_event, engine.step_time = index, PLACED, 0, ts_event
        note_step(engine)


@unit("note_step")
def note_step(engine):
    """Record engine.step_what of order engine.step_node. When room gets scarce, the driver is to make more before the next event or delivery."""
    node, journal = node_at(engine, engine.step_node), engine.steps
    to = record_at(journal.rows, journal.n, STEP_ROW)
    journal.n += 1
    to.order_id = node.order_id
    to.ahead = node.ahead
    to.row = node.row
    to.what = engine.step_what
    to.size = to.stamp = 0
    if engine.step_event == 0:
        to.ts_event = engine.step_time
        to.stamp = (node.level if node.side == 0 else -node.level) * record_at(engine.books, np.int64(node.instrument), BOOK).grid
    else:
        event = record_at(engine.step_event, 0, EVENT)
        to.ts_event = event.ts_event
        if engine.step_what <= FILLED:
            to.size = event.delta
            to.stamp = event.priority
    if steps_are_short(engine):
        engine.deliveries_fit = 0
        look_at_room(engine)
    return 0


@kernel
def steps_are_short(engine):
    """Whether what one event or the requests under way may record might not fit."""
    return engine.steps.capacity - engine.steps.n < engine.shown_room + engine.agenda.capacity


@unit("note_fills_ahead")
def note_fills_ahead(engine):
    """A FILL, engine.history_event: the orders of ours at its level, headed by engine.history_first, that stand behind it."""
    event = record_at(engine.history_event, 0, EVENT)
    index = np.int64(engine.history_first)
    while index != 0:
        node = node_at(engine, index)
        if node.order_id != 0 and event.priority < node.priority:
            journal_step(engine, index, FILLED, event)
        index = np.int64(node.next)
    return 0
