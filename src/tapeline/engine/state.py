"""The state of the event loop, one Record that all of it works on. What it keeps tables of is in `engine.records`."""

from tapeline.engine.records import Agenda, PhaseNews, Print
from tapeline.market.book import ViewPlan
from tapeline.record import Record, int64, uint64


class Journal(Record):
    """Rows recorded: address, number, capacity."""

    rows: int64
    n: int64
    capacity: int64


class Counters(Record):
    """What the engine counts."""

    events: int64
    crossed_events: int64
    late_news: int64
    late_to_rows: int64
    records_after_arrival: int64
    callbacks: int64
    notices: int64


class Times(Record):
    """What a tape event begins with."""

    ts_event: int64
    ts_recv: int64


class Engine(Record):
    """The state of the event loop."""

    # addresses of the units (memory.unit), and what they are called with
    core: int64
    wake: int64
    let_in: int64
    let_in_message: int64  # address
    let_in_special: int64  # units that are compiled when they are first needed; 0: not yet
    trigger_stops: int64
    trigger_event: int64
    find_places: int64
    drop_reducers: int64
    drop_for: int64  # the order that was filled, and when
    drop_time: int64
    deliver_phase: int64
    phase_message: int64
    phase_due: int64
    travel: int64
    travel_row: int64
    travel_leg: int64
    travel_from: int64
    travel_refused: int64
    travel_exempt: int64  # 1: the gateway's limit on messages is not for it
    guard: int64
    guarded: int64  # 1: some row has a limit on its loss
    guard_row: int64
    guard_feed: int64  # address
    explains: int64  # 1: what happens to queues in front of our orders is journalled
    shows_ahead: int64  # 1: that, or some row looks at orders.ahead()
    note_step: int64
    step_node: int64
    step_what: int64
    step_event: int64  # address of the tape event; of PLACED 0, and
    step_time: int64
    note_fills_ahead: int64
    meet_history: int64
    history_event: int64
    history_first: int64
    note_event: int64
    settle_event: int64
    guesses: int64  # address of a Guess per node, unless `exact`
    guesses_noted: int64  # the first of the orders that the current events concern
    due_before: int64
    due_for: int64  # the book whose event is next; NO_BOOK at the end
    # addresses of the next tape event of this chunk, and of its end
    at: int64
    end: int64
    applied: int64  # 1: that event is in the book, what follows from its end is to be done
    # tables
    books: int64
    instruments: int64
    several: int64  # 1: strategies index what they look at by instrument
    rows: int64
    rows_n: int64
    feeds: int64
    feeds_n: int64
    groups: int64
    groups_n: int64
    nodes: int64
    takes_free: int64
    accounts_stride: int64
    # clocks
    parked: int64  # requests that wait for their book's next event
    voided: int64  # books that had a CLEAR since their last ordinary event began
    next_event: int64  # address of the event that is about to begin, while voided > 0
    deliveries_fit: int64  # so many deliveries fit into the journals for sure
    latest: Times  # of ordinary tape events, each by itself
    feed_delay: int64  # ts_recv - ts_event of the last ordinary tape event, if they are followed
    now: int64
    ts_end: int64
    started: int64
    at_end: int64  # 1: no more tape events come
    ending: int64  # 1: what was due has happened, the rest is only booked
    ended: int64  # 1: on_end was called
    # notices: a ring of `notices_capacity` at an address; written counts on
    notices: int64
    notices_capacity: int64
    notices_written: int64
    notices_fit: int64  # so many fit into the ring for sure
    levels: int64  # 2 x depth Level records per place of the ring
    depth: int64  # the deepest that a class looks at; features may need more levels, which are not told
    event_classes: uint64
    trade_classes: uint64
    book_classes: uint64  # those with on_book: others are not told of notices of a view
    ts_published: int64  # ts_recv of the last notice
    runs_back: int64  # 1: it is before that of another
    followed: int64  # 1: every tape event is followed, by a class, a feature or a latency
    exact: int64  # 1: no row's queue is an estimator
    told_all: int64  # SNAPSHOT, if some row's queue is an estimator: orders are told of every event at their level, as they are of a snapshot's; else 0
    shown_capacity: int64
    shown_room: int64  # what one tape event may take of it
    takes_first: int64  # nodes from here to takes_top were takes at some time
    takes_top: int64
    takes_end: int64
    broken: int64  # an invariant did not hold: 1 + the number of the node
    full: int64  # 1: a take could not be remembered, of which there is no room for more
    gateway: int64  # addresses of the Orders, Markets and Accounts records of the callbacks
    markets: int64
    accounts: int64
    signals_per_callback: int64
    arrivals: int64
    fills_seen: int64  # number of the FILL or ADD whose budgets are being spent
    # the callback that the runner is to make
    call_row: int64
    call_group: int64
    call_number: int64  # of the notice that it is about
    call_classes: int64  # bits, of news of a phase
    call_message: int64  # address
    call_market: int64
    call_print: Print
    call_status: PhaseNews
    # the place that needs room
    room_instrument: int64
    room_side: int64
    room_level: int64
    # equity sampling
    sample_every: int64
    sample_due: int64
    samples: int64  # address: the last sample per row and instrument
    agenda: Agenda
    plan: ViewPlan
    fills: Journal
    orders: Journal
    equity: Journal
    signals: Journal
    stops: Journal
    steps: Journal
    counters: Counters
    kind_counts: int64  # address of a Counter per kind of tape event
    # the run's window; NOT_YET: it has none
    starts: int64  # until then rows sleep
    asleep: int64  # 1: they do
    sleep: int64  # addresses of units
    awake: int64
    closes: int64  # up to when time passes, even where the last tape event was earlier


ENGINE = Engine.dtype_
