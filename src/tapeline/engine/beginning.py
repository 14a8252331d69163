"""A run begins: with its first event, or, where its window starts later, after its rows have slept up to there. Units of their own: few runs have windows."""

from tapeline.engine.agenda import new_message, push_far
from tapeline.engine.calls import move_clock
from tapeline.engine.limits import NOBODY
from tapeline.engine.lists import row_at
from tapeline.engine.records import BEGINNING, NEVER, ON_START, TIMER
from tapeline.jit import leaf
from tapeline.memory import unit


@leaf
def begin(engine, now):
    """The first sample is due at the first multiple of the interval; all rows are to be called."""
    engine.now = now
    engine.sample_due = -(-now // engine.sample_every) * engine.sample_every
    return ON_START


@unit("sleep")
def sleep(engine):
    """Nobody listens until the window starts: that is due when the last nanosecond before is over, behind all else of it. News arrive as ever."""
    engine.asleep = 1
    engine.sample_due = NEVER
    for r in range(engine.rows_n):
        row_at(engine, r).listens = NOBODY
    message = new_message(engine.agenda)
    message.kind = BEGINNING
    message.node = message.instrument = 0
    push_far(engine.agenda, engine.starts - 1, TIMER, message)
    return 0


@unit("awake")
def awake(engine):
    """The window starts."""
    engine.asleep = 0
    for r in range(engine.rows_n):
        row = row_at(engine, r)
        row.listens = row.group
    move_clock(engine, engine.starts)
    return begin(engine, engine.now)


UNITS = (sleep, awake)
