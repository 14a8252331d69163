"""What a generated runner calls around a callback."""

import numpy as np

from tapeline.engine.account import ACCOUNT, ACCOUNTS
from tapeline.engine.agenda import free_message, message_at
from tapeline.engine.calls import call, markets_of
from tapeline.engine.deliver import SIGNAL_ROW
from tapeline.engine.gateway import ORDERS, ORDERS_BY_INSTRUMENT, turn_orders
from tapeline.engine.readers import group_at, show
from tapeline.engine.records import (
    FEED,
    MESSAGE,
    NEWS,
    NOT_YET,
    NOTICE,
    ON_BOOK,
    ON_END,
    ON_EVENT,
    ON_FILL,
    ON_ORDER,
    ON_START,
    ON_STATUS,
    ON_TIMER,
    ON_TRADE,
    ROW,
)
from tapeline.engine.rules import learn
from tapeline.jit import kept, kernel, leaf
from tapeline.market.book import MARKET, MARKETS
from tapeline.memory import record_at

__all__ = [
    "ACCOUNT", "ACCOUNTS",
    "MARKET", "MARKETS", "MESSAGE", "NEWS", "NOT_YET", "ON_BOOK", "ON_END", "ON_EVENT", "ON_FILL", "ON_ORDER", "ON_START", "ON_STATUS", "ON_TIMER", "ON_TRADE",
    "ORDERS", "ORDERS_BY_INSTRUMENT", "ROW", "accounts_of", "begin", "done", "keep_signals", "readers_of", "record_at", "tell", "tell_several", "turn_to",
]  # fmt: skip


@kept(leaf)
def begin(engine, orders, row):
    """Before a callback of a row: its orders."""
    engine.counters.callbacks += 1  # first, so that what is known of the orders is not asked for again
    turn_orders(orders, row)


@kept(leaf)
def readers_of(address):
    """The classes that read the feed at an address, a bit each, and the number of the first one's group: the others' follow, in the order of their classes."""
    feed = record_at(address, 0, FEED)
    return np.int64(feed.classes), feed.first


@kept(leaf)
def tell(engine, index, address):
    """A group is called about the notice at an address: it is shown to it. The group's market."""
    group = group_at(engine, index)
    show(engine, group, record_at(address, 0, NOTICE), engine.call_number)
    learn(engine, group, engine.now)
    return record_at(group.market, 0, MARKET)


@kept(leaf)
def tell_several(engine, index, address):
    """As tell, where there are several instruments. All markets of the group."""
    tell(engine, index, address)
    return markets_of(engine, group_at(engine, index), record_at(address, 0, NOTICE).instrument)


@kept(kernel)
def turn_to(engine, row):
    """Show a row its own group's markets; for callbacks that go to all rows."""
    call(engine, row.group, 0)


@kept(kernel)
def accounts_of(engine, row):
    """The accounts of a row, to be indexed."""
    accounts = record_at(engine.accounts, 0, ACCOUNTS)
    accounts.first = row.accounts
    accounts.n = engine.instruments
    return accounts


@kernel
def keep_signals(engine, row, strategy, n):
    """Journal what a callback wrote with `self.signal`."""
    for k in range(n):
        if (strategy._signal_mask >> k) & 1:
            to = record_at(engine.signals.rows, engine.signals.n, SIGNAL_ROW)
            engine.signals.n += 1
            to.ts = engine.now
            to.value = strategy._signal_values[k]
            to.row = row.index
            to.signal = k
    strategy._signal_mask = 0


@kept(kernel)
def done(engine, what):
    """After the callbacks: the message they were about is free."""
    if what == ON_ORDER or what == ON_FILL:
        free_message(engine.agenda, message_at(engine.call_message))
