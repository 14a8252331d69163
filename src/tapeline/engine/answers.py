"""What the exchange answers: every answer is a message on its way back to the row."""

import numpy as np

from tapeline.constants import REDUCE_ONLY, Reason, Side, Status, Update
from tapeline.engine.agenda import new_message, push
from tapeline.engine.latency import response_time
from tapeline.engine.lists import account_of, node_at, row_at, unlink, unlink_resting
from tapeline.engine.records import ANSWER, AWAY, END, ENDED, RESPONSE, RESTING
from tapeline.jit import kernel, leaf
from tapeline.market.book import BOOK
from tapeline.memory import record_at, unit

FILL, CANCELLED, NOTHING_TO_REDUCE = np.int64(Update.FILL), np.int64(Update.CANCELLED), np.int64(Reason.NOTHING_TO_REDUCE)
EXPIRED = np.int64(Update.EXPIRED)
STATUS_REJECTED, STATUS_CANCELLED, STATUS_EXPIRED, STATUS_FILLED = (np.int64(s) for s in (Status.REJECTED, Status.CANCELLED, Status.EXPIRED, Status.FILLED))
BID, ASK = np.int64(Side.BID), np.int64(Side.ASK)


@kernel
def answer(engine, index, ts_event, what):
    """An answer about an order, due at the row after the response latency; answers of a row never overtake each other. Returns the message, to be completed."""
    node = node_at(engine, index)
    message = send_answer(engine, row_at(engine, node.row), node, index, ts_event, what)
    describe(message, node)
    return message


@leaf
def send_answer(engine, row, node, index, ts_event, what):  # noqa: PLR0913, PLR0917 - an argument is a register, a field of a record is memory
    """As answer, without what it says of the order."""
    message = new_answer(engine, node, index, ts_event)
    send_back(engine, row, message, what)
    return message


@leaf
def new_answer(engine, node, index, ts_event):
    """What is to become an answer: which order it is about, and when it was given."""
    message = new_message(engine.agenda)
    message.ts_event = ts_event
    message.node = index
    message.row, message.instrument = node.row, node.instrument
    return message


@leaf
def send_back(engine, row, message, what):
    """An answer sets out."""
    message.kind = ANSWER
    message.what = what
    due = response_time(engine, row, message.ts_event)
    row.last_response = due
    push(engine.agenda, due, RESPONSE, message)


@kernel
def status_of(what):
    """How an order ended, by the answer that says so."""
    return STATUS_CANCELLED if what == CANCELLED else STATUS_FILLED if what == FILL else STATUS_EXPIRED if what == EXPIRED else STATUS_REJECTED


@leaf
def describe(message, node):
    """What an answer says of its order."""
    message.order_id = node.order_id
    message.by_exchange = True
    message.price = node.price
    message.size = node.size
    message.size_left = node.left
    message.ahead = -1
    message.market_size = 0
    message.side = BID if node.side == 0 else ASK
    message.rule = 0
    message.is_maker = False
    message.instruction = node.instruction


@leaf
def leave_queue(engine, book, row, node, index):
    """A resting order leaves its level."""
    if node.venue_state == RESTING:
        unlink(engine, book, node, index)
        unlink_resting(engine, row, node)
        node.venue_state = AWAY


@kernel
def end_order(engine, book, index):
    """An order is over at the exchange."""
    node = node_at(engine, index)
    leave_queue(engine, book, row_at(engine, node.row), node, index)
    node.venue_state = ENDED


@kernel
def close_order(engine, book, index, ts_event, what, reason):  # noqa: PLR0913, PLR0917 - an argument is a register, a field of a record is memory
    """An order is over without being filled, and its row is told: CANCELLED, EXPIRED or REJECTED."""
    node = node_at(engine, index)
    write_end(engine, book, node, index, new_answer(engine, node, index, ts_event), what, reason)


@leaf
def write_end(engine, book, node, index, message, what, reason):  # noqa: PLR0913, PLR0917 - same
    """As close_order, with a new answer. Of an end that its strategy is not told only the row learns, which knows the order: an END."""
    row = row_at(engine, node.row)
    leave_queue(engine, book, row, node, index)
    node.venue_state = ENDED
    send_back(engine, row, message, what)
    message.reason = reason
    if row.hears:
        describe(message, node)
        message.size_left = 0
    else:
        message.kind = END
        message.what = status_of(what)


@kernel
def open_lots(engine, node):
    """Lots of an order that may be filled now: of a REDUCE_ONLY one no more than bring the row's position to zero."""
    if node.instruction & REDUCE_ONLY == 0:
        return node.left
    held = account_of(engine, node).held
    return min(node.left, max(np.int64(0), -held if node.side == 0 else held))


@kernel
def take_off(engine, node, size):
    """`size` lots of an order are filled."""
    node.left -= size
    node.filled += size
    account_of(engine, node).held += size if node.side == 0 else -size


@leaf
def drop_if_flat(engine, index, ts_event):
    """After a fill, and its answer: REDUCE_ONLY orders that have nothing to reduce any more are cancelled."""
    if row_at(engine, node_at(engine, index).row).reduces:
        engine.drop_for = index
        engine.drop_time = ts_event
        drop_reducers(engine)


@unit("drop_reducers")
def drop_reducers(engine):
    """The REDUCE_ONLY orders of the row and book of order engine.drop_for that have nothing to reduce are cancelled, the last to come to rest first."""
    filled = node_at(engine, engine.drop_for)
    book = record_at(engine.books, np.int64(filled.instrument), BOOK)
    ts_event = engine.drop_time
    index = np.int64(row_at(engine, filled.row).resting)
    while index != 0:
        node = node_at(engine, index)
        following = np.int64(node.row_next)
        if node.instrument == filled.instrument and open_lots(engine, node) == 0:
            close_order(engine, book, index, ts_event, CANCELLED, NOTHING_TO_REDUCE)
        index = following
    return 0


@kernel
def fill_lots(engine, book, index, ts_event, size):
    """`size` lots of an order are filled, and it is over when nothing is left; the message, for level, rule and market size."""
    node = node_at(engine, index)
    take_off(engine, node, size)
    if node.left == 0:
        end_order(engine, book, index)
    message = answer(engine, index, ts_event, FILL)
    drop_if_flat(engine, index, ts_event)
    message.size = size
    return message


@kernel
def fill_order(engine, book, index, ts_event, size):
    """The same at its own level, as maker; the message, for rule and market size."""
    message = fill_lots(engine, book, index, ts_event, size)
    message.is_maker = True
    message.level = node_at(engine, index).level
    return message
