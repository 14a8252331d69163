"""What the compiled engine keeps tables of, one Record per concept. Tables are flat memory by address, so that their capacity is no part of any type."""

from typing import Final

import numpy as np

from tapeline.constants import TIME_END
from tapeline.market.book import Market
from tapeline.record import Record, bool_, float64, int32, int64, uint8, uint64
from tapeline.tape.records import TapeEvent

NEVER, NOT_YET = np.int64(TIME_END), np.int64(-TIME_END)
"""A time that does not come, and one that was always past."""

# classes of what is due, in the order in which they happen at one time; and kinds of messages
ARRIVAL, RESPONSE, MARKET_DUE, PHASE_DUE, TIMER = (np.int64(n) for n in range(5))
CLASS_SHIFT: Final = 56
NEW, MODIFY, CANCEL, MODIFY_STOP, CANCEL_ALL, TRIGGER, EXPIRE, ANSWER, END, ALARM, PHASE, BEGINNING = (np.int64(n) for n in range(1, 13))
LAST_REQUEST = EXPIRE
"""Kinds up to this one take their place at the exchange, TRIGGER and EXPIRE being its own. END: the answer that an order is over, if only its row learns it.
BEGINNING: of a run whose window starts later than its data."""
# what core() answers besides DONE and MAKE_ROOM: the first few are for the driver, the others for the runner: that a notice is next, or which callback
GROW_NOTICES, GROW_JOURNAL, NEED_SPECIAL = range(2, 5)
NEWS: Final = 7
FIRST_CALLBACK: Final = 8
ON_START, ON_BOOK, ON_TRADE, ON_EVENT, ON_ORDER, ON_FILL, ON_TIMER, ON_END, ON_STATUS = (np.int64(n) for n in range(FIRST_CALLBACK, FIRST_CALLBACK + 9))
# where an order stands at the exchange
AWAY, RESTING, ENDED, WAITING = range(4)
# self-match prevention
SMP_CANCEL_RESTING, SMP_CANCEL_AGGRESSOR, SMP_REJECT = range(3)


class Message(Record):
    """A request on its way to the exchange, or an answer on its way back: the latter is the `update` or `fill` of a callback. Two cache lines."""

    order_id: int64
    due: int64  # when it is there
    turn: int64  # among those that are due at one time: class << CLASS_SHIFT | order of creation
    next: int64  # address of the next in its lane; of a free one: how far behind the one after it the next free one lies
    ts_event: int64  # when it happened, or will, at the exchange
    node: int32  # where the order lies; 0: nowhere (refused by the gateway). Of news of a phase: the group
    row: int32
    instrument: int32
    kind: uint8
    what: uint8  # of an answer: an Update; of an END: a Status
    reason: uint8
    parked: uint8  # beside the reason, as whatever is zeroed in each message
    side: uint8
    rule: uint8
    instruction: uint8
    is_maker: bool_
    by_exchange: bool_  # not by the gateway
    # --- what follows is not touched by requests for new orders and for cancels, nor by an END
    price: int64  # 1e-9
    size: int64  # of news of a phase: number of the change
    size_left: int64
    ahead: int64
    market_size: int64  # of a mass cancel, and of its refusal: its number
    level: int64  # of an order that the gateway refused: its stop price, 1e-9
    place: int64  # of ACCEPTED and MODIFIED: number of the place in a queue that the order was given; 0: none, or the row knows of it
    ahead_shown: int64  # what the feed has shown of that place while the answer was on its way


class Due(Record):
    """One entry of the heap: a message and, again, when it is due."""

    time: int64
    turn: int64
    message: int64  # address


class Lane(Record):
    """Messages of one class that are due in the order in which they came: a list."""

    head: int64  # address of the first; of the pool's first, if there is none
    link: int64  # address of where the next one's is to be written
    due: int64  # when the first is due; NEVER, if there is none
    due_last: int64  # when the last one is due, or was


class Agenda(Record):
    """The queue of what is to happen, over a pool of messages: a lane of requests, one of answers, and a binary heap of all that is not in order of time."""

    lanes: (Lane, (2,))  # type: ignore[syntax]
    heap: int64  # its first entry is due NEVER, if it is empty
    heap_n: int64
    messages: int64  # the pool: the first message is due NEVER, and no other is ever without a use
    free: int64  # address of the first free one; `end`, if there is none
    end: int64
    capacity: int64
    created: int64
    next_due: int64  # when the first of this queue and of the market's news happens, or earlier while some of it has to be looked at before
    full: int64  # 1: a message could not be created


class Node(Record):
    """A place of ours in a level's list: an order, or (order_id 0) a take, which is what we took from history and may not take again."""

    priority: int64  # stamp
    ahead: int64  # an order: displayed size in front; a take: `still`, displayed size of the orders that were there
    left: int64  # an order: what is to be filled; a take: its amount
    level: int32
    next: int32  # in the level's list; of a stop that waits, in the book's
    prev: int32
    row_next: int32  # the row's resting orders, the last to come to rest first; of a take, its takes, likewise
    row_prev: int32
    line_next: int32  # those of its side of the book, in line: best level first, then earliest place
    line_prev: int32
    row: int32  # beside the instrument, as wherever both are copied to: one load and one store
    instrument: int32
    side: uint8
    instruction: uint8
    venue_state: uint8
    triggered: uint8  # its stop price was reached
    # --- what follows is not touched by events of the book; first what an OrderRow begins with
    order_id: int64  # 0: none lies here that its row believes to live
    price: int64  # 1e-9, as accepted (or first sent)
    size: int64  # total, likewise
    filled: int64  # at the exchange
    ts_sent: int64
    ts_arrived: int64
    place: int32  # of its ticket
    voided: uint8  # it rested at a CLEAR, and whether its queue was lost is not known yet
    # --- what the row knows
    size_known: int64
    exposure: int64  # what counts as open in the position limit
    price_known: int64  # 1e-9, last accepted
    ahead_shown: int64
    # --- what a new order begins with zeros in, side by side: two stores
    filled_known: int64
    place_known: int64  # of its places in queues the one that the row knows of
    modifies_pending: int32
    gaps: int32
    modifies: int32
    refused: int32
    arrival: int64  # number of its place in a queue: in the order in which the exchange gave them
    # --- what is written once
    told_by: int64  # address of the message that tells of the last place
    shown_due_last: int64
    level_accepted: int64  # at the exchange; UNDEFINED_PRICE: a market order
    ahead_at_entry: int64
    ts_triggered: int64
    stop: int64  # level of the stop price; UNDEFINED_PRICE: none
    expires: int64
    spare: (int64, (9,))  # type: ignore[syntax]  # five cache lines, an odd number: one and the same line of all nodes lies in all sets of a cache


class Row(Record):
    """One strategy instance: its connection, its rules, its limits, its orders: a cache line of every call, of new orders, of the exchange, of few rows."""

    index: int32
    group: int32
    listens: int32  # the group whose news its strategy is told; -1: it was stopped, or sleeps
    callbacks: int32  # those of its class: bit (ON_… - FIRST_CALLBACK)
    accounts: int64  # address of its accounts, one per instrument
    places: int64  # address of its live orders' tickets, by id: see lists.place_of
    mask: int64  # number of the last place
    displacement_max: int64
    last_id: int64
    nodes_free: int64  # the node that its next order gets: the one that was freed last
    # ---
    live: int64
    orders_live_max: int64
    order_size_max: int64
    position_max: int64
    notional_max: float64  # currency
    rate_max: int64  # new orders and modifies in a second; 0: no limit
    latency_entry: int64
    step: int64  # from one place of an order to the next
    # ---
    last_arrival: int64
    last_response: int64
    latency_cancel: int64
    latency_response: int64  # of one that varies: the least
    ways: int64  # address of its Way records, if a latency varies or the exchange limits messages; 0 otherwise
    resting: int32  # first of its resting orders; 0: none
    asks_ahead: uint8  # the class looks at orders.ahead()
    hears: uint8  # it learns that an order was accepted: it has on_order, or looks at orders.ahead()
    queue: uint8  # QueueModel
    trade_through: uint8
    crossing: uint8
    auction: uint8
    iceberg_excess: uint8
    cancel_on_gap: uint8
    consume: uint8
    self_match: uint8
    reduces: uint8  # it sent a REDUCE_ONLY order at some time
    takes: int32  # first of its takes; 0: none
    # ---
    latency_modify: int64
    budget: int64
    budget_of: int64
    timer: int64  # 0: none
    timer_pending: int64
    loss_max: float64
    rate_times: int64  # address of a ring of the times of the latest
    rate_n: int64
    mass_cancels: int64  # number of the latest, counted from 2: see Ticket.cancelling
    spare: (int64, (7,))  # type: ignore[syntax]  # as in a Node


class Notice(Record):
    """Something of the market on its way to the strategies."""

    ts_recv: int64
    classes: uint64  # bit per class that it concerns
    what: int32  # ON_BOOK, ON_TRADE, ON_EVENT
    instrument: int32
    market: Market
    event: TapeEvent


class Print(Record):
    """The `trade` of on_trade and the `event` of on_event."""

    price: int64  # 1e-9
    size: int64
    ts_event: int64
    ts_recv: int64
    sequence: int64
    instrument: int64
    kind: uint8
    flags: uint8
    side: uint8


class PhaseNews(Record):
    """The `status` of on_status."""

    ts_event: int64
    ts_recv: int64
    phase: int64  # Phase
    instrument: int64


class Feed(Record):
    """The groups with one feed latency: how far they have read what is published. They read a notice at the same time, so that it is looked at once."""

    latency: int64
    cursor: int64  # number of the next notice that concerns one of them, if there is one
    due: int64  # when that is due; NEVER: there is none
    due_last: int64
    classes: uint64  # the bits of their classes
    first: int64  # they lie side by side, in the order of their classes
    n: int64
    spare: int64


class Group(Record):
    """The rows of one class with one feed latency, and the market as they see it."""

    feed: int64  # its latency
    reads: int64  # number of its Feed
    classes: uint64  # the bit of their class
    callbacks: int64  # those of the class
    market: int64  # address of the Market that they see, in a run with one instrument: its own, or
    in_ring: int64  # 1: the notice that it was shown last, where that shows what its class looks at, and nothing else
    markets: int64  # address of a Market per instrument, of its own
    lags: int64  # 1: its class is not told of views, and what it reads is shown to it when somebody looks
    # ---
    seen: int64  # if so: the notices before this number were shown to it, as far as they concern it
    depth: int64  # what the class declares: levels, and a bit per feature
    features: int64
    declared: int64  # address of Runs of those features, those of the book first
    declared_n: int64
    of_views: int64  # how many of them only notices of a view bring
    sees_all: int64  # 1: notices show no other features
    # ---
    shown: int64  # address of a ring of Shown
    shown_read: int64
    shown_written: int64
    spare: (int64, (6,))  # type: ignore[syntax]  # as in a Node


class Shown(Record):
    """A change of the queue ahead of an order of ours, on its way to the row."""

    due: int64
    order_id: int64
    ahead: int64
    node: int64
    place: int64
    told_by: int64


class Guess(Record):
    """What an estimator believes of an order's place, and what the current event has shown so far."""

    ahead: float64  # lots in front
    credit: float64  # part of a lot that was traded behind those, but not yet booked
    arrival: int64  # number of the place
    before: int64  # displayed size of the level before the event
    traded: int64  # printed at our price by opposite aggressors
    printed: int64  # the same, and at worse prices
    next: int32  # the next order that the event concerns
    noted: uint8
    through: uint8


MESSAGE, DUE, LANE, AGENDA, NODE, ROW = Message.dtype_, Due.dtype_, Lane.dtype_, Agenda.dtype_, Node.dtype_, Row.dtype_
GUESS, NOTICE, FEED, GROUP, SHOWN = Guess.dtype_, Notice.dtype_, Feed.dtype_, Group.dtype_, Shown.dtype_
