"""What strategies see of a book (Market), and the book itself on the exchange's clock (Book)."""

from typing import Final

import numpy as np

from tapeline.constants import UNDEFINED_PRICE, Feature, Phase, RecordFlag, Side
from tapeline.jit import kernel, leaf
from tapeline.market.ladder import CELL_SIZE, LADDER, LEVEL, LEVEL_NONE, Ladder, has_best, scan_best
from tapeline.memory import address_of, prefetch, record_at, unit
from tapeline.record import Record, bool_, float64, int32, int64, uint8, uint64
from tapeline.tape.records import COUNTER, EVENT, EVENT_SIZE, LAST, side_index

FEATURES_N: Final = len(Feature)
DONE, MAKE_ROOM = range(2)
"""What every event loop answers: all is in the books, or a ladder's window has to move first. Some answer more, from 2 on."""


class Market(Record):
    """One instrument as a strategy sees it: the view that the feed has shown by local time.

    Prices are int64 in 1e-9 (`UNDEFINED_PRICE` when absent), sizes int64 lots, times int64 ns.
    """

    bid_price: int64 = UNDEFINED_PRICE
    ask_price: int64 = UNDEFINED_PRICE
    bid_size: int64
    ask_size: int64
    bid_count: int64
    ask_count: int64
    last_price: int64 = UNDEFINED_PRICE
    last_size: int64
    ts_event: int64
    ts_recv: int64
    mark: int64  # bid + ask in ticks, that is the mid in half ticks; while a side is absent, the last one
    last_side: uint8 = int(Side.NONE)
    has_bid: bool_
    has_ask: bool_
    has_mark: bool_
    instrument: int32
    # --- so far the market, three times 32 bytes; from here on what does not change, and what only some ask for
    tick: int64
    levels: int64  # address of 2 x depth Level records, bids first
    depth: int32
    phase: int32  # Phase of trading, as last told
    features: (float64, (FEATURES_N,)) = np.nan  # type: ignore[syntax]  # an array of them

    n = 1  # instruments: as Markets has it, where there are several

    def bid(self, i):
        """Bid level `i` (0 is the best) of the declared depth: price, size, count. Raises IndexError outside it."""
        if not 0 <= i < self.depth:
            raise IndexError("market.bid(i): i is outside the strategy's declared depth")
        if self.depth == 1:
            show_touch(self, self.levels)
        return record_at(self.levels, i, LEVEL)

    def ask(self, i):
        """Ask level `i` (0 is the best) of the declared depth. Raises IndexError outside it."""
        if not 0 <= i < self.depth:
            raise IndexError("market.ask(i): i is outside the strategy's declared depth")
        if self.depth == 1:
            show_touch(self, self.levels)
        return record_at(self.levels, self.depth + i, LEVEL)

    def __getitem__(self, index):
        """The only instrument, for strategies that index."""
        if index != 0:
            raise IndexError("market[i]: there is one instrument in this run")
        return self


MARKET: Final = Market.dtype_


@leaf
def show_touch(market, levels):
    """The two levels of a class that declares no depth, as the market's own fields say; `levels`: address."""
    bid, ask = record_at(levels, 0, LEVEL), record_at(levels, 1, LEVEL)
    bid.price = market.bid_price
    bid.size = market.bid_size
    bid.count = market.bid_count
    ask.price = market.ask_price
    ask.size = market.ask_size
    ask.count = market.ask_count


class Markets(Record):
    """The markets of a run with several instruments: `market[i]`."""

    first: int64  # address
    n: int64
    instrument: int64  # of the callback

    def __getitem__(self, index):
        """Market of instrument `index`. Raises IndexError outside the instruments seen so far."""
        if not 0 <= index < self.n:
            raise IndexError("market[i]: no such instrument")
        return record_at(self.first, index, MARKET)


MARKETS: Final = Markets.dtype_


class Book(Record):
    """One book on the exchange's clock."""

    sides: (Ladder, (2,))  # type: ignore[syntax]  # bids, asks
    # --- a cache line of every event
    grid: int64
    stamp: int64  # the stamp of the next order to arrive
    ts_arrived: int64  # of the last of our requests that was let in
    parked: int64  # requests of ours that wait for this book's next event
    stops: int64  # first and last of the stops of ours that wait; 0: none
    touch_memory: int64  # addresses of what features remember (market.features, market.activity); 0: nobody declared any
    flags: uint8 = int(RecordFlag.LAST)  # of its last tape event
    crossed: uint8  # as the last event left it
    void: uint8  # 1: there was a CLEAR since the last ordinary event began; 2: and orders of ours stood in the book
    lost: uint8  # and no order came back since
    phase: uint8  # of trading, at the time of what concerns our orders now
    dirty: uint8  # DIRTY_BIDS, …
    index: int32
    # ---
    market: Market  # the view last published
    ts_event: int64  # of the last ordinary event
    phases: int64  # address of its PhaseChange records, by time
    phases_n: int64
    stamp_voided: int64  # the stamp of the next order when the book was voided
    stops_last: int64
    trade_last: int64  # exact prices: of the last trade; the highest and the lowest of the last event that had any
    trade_high: int64
    trade_low: int64
    # ---
    shape_memory: int64
    activity_memory: int64
    deepest: (int64, (2,)) = LEVEL_NONE  # type: ignore[syntax]  # per side: level of the last that a view of several levels shows; LEVEL_NONE while there are fewer
    spare: (int64, (4,))  # type: ignore[syntax]  # an odd number of lines: one and the same line of all books lies in all sets of a cache


class PhaseChange(Record):
    """From a time on a phase of trading holds."""

    ts: int64
    phase: int64
    ts_recv: int64


BOOK, PHASE_CHANGE = Book.dtype_, PhaseChange.dtype_
BOOK_SIZE: Final = np.int64(BOOK.itemsize)
USUAL_LINES: Final = (0, 128, 256, 320, 384)
"""Of a book: those that an event of it looks at, its market's with them."""
ASKED_SIZE: Final = np.int64(32 * EVENT_SIZE)
"""Of so many tape events the books are asked for at once."""
PHASE_CHANGE_SIZE: Final = np.int64(PHASE_CHANGE.itemsize)
DIRTY_BIDS, DIRTY_ASKS, GUESSED, TRADED, WATCHED, TIMED = (np.uint8(1 << bit) for bit in range(6))
"""Bits of `dirty`: something that a view shows of a side may have changed (1 << side); an event concerned orders of ours whose place is guessed; …; there are
features of what happened to be brought up to date."""
DIRTY = DIRTY_BIDS | DIRTY_ASKS
MOVED_SHIFT = np.int64(6)
"""Behind them a bit for each side, where books are traced (market.traced): one of the levels that concern the view has come or gone."""
MOVED = np.int64(DIRTY) << MOVED_SHIFT
BIDS, ASKS = np.int64(0), np.int64(1)
TRADING, AUCTION, HALTED, CLOSED = (np.int64(p) for p in Phase)


@kernel
def count_until(first, n, stride, ts):
    """How many of `n` times, `stride` bytes apart from address `first` on and in order, are not after `ts`."""
    low, high = np.int64(0), n
    while low < high:
        middle = (low + high) >> 1
        if record_at(first + middle * stride, 0, COUNTER).n <= ts:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def find_phase(book, ts):
    """The phase at a time, for books whose phases are known."""
    begun = count_until(book.phases, book.phases_n, PHASE_CHANGE_SIZE, ts)
    book.phase = record_at(book.phases, begun - 1, PHASE_CHANGE).phase if begun > 0 else TRADING


@leaf
def go_to(book, ts):
    """Something that concerns our orders happens at a time."""
    if book.phases_n != 0:
        find_phase(book, ts)


@leaf
def in_event(book):
    """Whether more of its last event is to come."""
    return book.flags & LAST == 0


@leaf
def is_matching(book):
    """Whether orders are matched as they come: not while the book is locked or crossed, and only while it trades."""
    return (book.crossed == 0) & (book.phase == TRADING)


@leaf
def is_in_auction(book):
    """Whether what trades is an auction's."""
    return (book.phase == AUCTION) | ((book.crossed != 0) & (book.phase == TRADING))


@leaf
def side_of(book, side):
    """The ladder of a side: the two come first in a book (`book.sides[side]` makes an array of them first, and a reference count)."""
    return record_at(address_of(book), side, LADDER)


@leaf
def set_own_best(book, side, level):
    """No own order of a side rests at a better level, so that orders of the other side reach so far without meeting one."""
    ladder, opposite = side_of(book, side), side_of(book, 1 - side)
    ladder.own_best = level
    opposite.reach = max(min(opposite.width, -level - opposite.base), 1)


@leaf
def ask_for_room(state, book, side, level):
    """Tell the driver of an event loop which level needs room: MAKE_ROOM. `state`: the loop's record."""
    state.room_instrument = book.index
    state.room_side = side
    state.room_level = level
    return MAKE_ROOM


@kernel
def find_next_best(state, book, side):
    """The best level ran empty: the next below it is the best. MAKE_ROOM, if the window holds nothing but something may lie beyond, or DONE."""
    ladder = side_of(book, side)
    ladder.best = scan_best(ladder, ladder.best)
    if ladder.far_count > 0 and not has_best(ladder):
        state.applied = 1
        return ask_for_room(state, book, side, LEVEL_NONE)
    return DONE


class Bits(Record):
    """A set of strategy classes, one bit each."""

    bits: uint64


class Number(Record):
    """One feature's value."""

    value: float64


BITS, NUMBER = Bits.dtype_, Number.dtype_
DEEPEST_OFFSET: Final = np.int64(BOOK.fields["deepest"][1])
FEATURES_OFFSET: Final = np.int64(MARKET.fields["features"][1])
"""The features are the last field of a Market."""


class Run(Record):
    """Features whose numbers follow on each other."""

    first: int64
    n: int64


class Place(Record):
    """A Level of a view that may have changed."""

    cell: int64  # address of the cell that it shows
    side: int64
    number: int64  # 0: the best


RUN, PLACE = Run.dtype_, Place.dtype_
EVENTS_MAX: Final = 4
"""So many tape events of an event are looked at again for what they changed: modifies have two, trades that fill one order three."""


class ViewPlan(Record):
    """Who looks at what: one bit per strategy class."""

    # addresses of the units of those names (market.view, features, walk, activity), and the book and tape event that they are called with
    update_deep: int64
    update_shape: int64
    update_walked: int64
    update_activity: int64
    note_activity: int64
    show_features: int64
    ask_ahead: int64  # 0: there is one book
    copy_runs: int64  # and of engine.notices
    book: int64
    event: int64
    asked: int64  # for ask_ahead: addresses of the tape event from which on books were asked for last, of the books, and of the chunk's end
    books: int64
    end: int64
    events: int64  # address of the first tape event of the chunk
    sides: int64  # DIRTY_BIDS, DIRTY_ASKS: what this event may have changed
    near: int64  # likewise: the sides of whose LEVELS_OF_SHAPE best it changed one
    walked: int64  # likewise: the sides whose levels were looked at one by one
    places: (Place, (EVENTS_MAX,))  # type: ignore[syntax]  # an array of them
    follows: int64  # 1: levels, or features of more than the touch, follow every event
    shows: int64  # 1: the values of features are in the market after each event; 0: only what they follow from
    wakes: int64  # 1: those of several levels are, for they wake a class when they change
    walks: int64  # 1: what those of several levels follow from is added up when somebody is told; 0: it follows every event,
    sums: int64  # 1: by being added up anew; 0: by what the event changed, since levels are followed anyway
    of_view: int64  # 1: somebody is told of a change of the view; 0: of a trade or a tape event, maybe within an event
    touch_changed: int64  # whether it changed the BBO
    to: int64  # what show_features is called with: address of a market; and copy_runs: addresses of features, and of `runs_n` Runs
    source: int64
    runs: int64
    runs_n: int64
    depth: int64  # the deepest declared depth
    features: int64  # bit per Feature that anybody declared
    followed: int64  # those of them that update_deep brings up to date with every event
    depth_masks: int64  # address of `depth` Bits: number k has the classes that are woken by a change of level k
    feature_masks: int64  # address of a Bits per feature: the classes that are woken by it
    shown_before: (float64, (FEATURES_N,))  # type: ignore[syntax]  # the features of the book's market before the event, where they wake a class


VIEW_PLAN: Final = ViewPlan.dtype_


@leaf
def turn(plan, books, at, end):
    """The book of a tape event of another instrument than the one before."""
    if plan.ask_ahead != 0 and not 0 <= at - plan.asked < ASKED_SIZE:
        plan.asked, plan.books, plan.end = at, books, end
        ask_ahead(plan)
    return record_at(books, np.int64(record_at(at, 0, EVENT).instrument), BOOK)


@unit("ask_ahead")
def ask_ahead(plan):
    """The next tape events are of other instruments, too: ask for their books, then for the cells of their levels, of all at once.

    With five thousand instruments, and what an event looks at side by side, a run takes 0.6 to 0.7 of the time, half of which goes into opening them.
    """
    end = min(plan.asked + ASKED_SIZE, plan.end)
    for at in range(plan.asked, end, EVENT_SIZE):
        first = plan.books + np.int64(record_at(at, 0, EVENT).instrument) * BOOK_SIZE
        for line in USUAL_LINES:
            prefetch(first + line)
    for at in range(plan.asked, end, EVENT_SIZE):
        event = record_at(at, 0, EVENT)
        ladder = side_of(record_at(plan.books, np.int64(event.instrument), BOOK), side_index(event.side))
        prefetch(ladder.cells + (np.int64(event.level) - ladder.base) * CELL_SIZE)
    return 0
