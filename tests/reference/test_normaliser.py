"""The normaliser's rules, by number."""

import pytest
from streams import LAST, SNAPSHOT, TOP_OF_BOOK, Stream, instruments

from tapeline.constants import UNDEFINED_PRICE, Kind, TapeFlag
from tapeline.errors import DataError
from tapeline.reference import tape
from tapeline.reference.normaliser import COUNTERS

GONE, MODIFIED, EXCESS = int(TapeFlag.GONE), int(TapeFlag.MODIFIED), int(TapeFlag.EXCESS)


def events(stream, chunk=0):
    """Tape events as (kind, delta, level, stamp, flags), and the counters that are not 0."""
    counters = {}
    out = [(Kind(e.kind).name, e.delta, e.level, e.priority, e.flags) for e in tape(stream.chunks(chunk), instruments(), counters)]
    return out, {name: n for name, n in counters.items() if n}


def short(stream):
    """Tape events as (kind, delta, level, flags)."""
    return [(kind, delta, level, flags) for kind, delta, level, _, flags in events(stream)[0]]


def test_every_counter_exists_even_at_zero():
    """A result of nothing has all counters, at 0."""
    counters = {}
    assert list(tape([], instruments(), counters)) == []
    assert counters == dict.fromkeys(COUNTERS, 0)


def test_levels_are_mirrored_for_asks_and_stamps_grow():
    """A bid at 100 is level 100, an ask at 101 level -101; each ADD has the next stamp."""
    out, counters = events(Stream().add(1, "B", 100, 5).add(2, "A", 101, 4))
    assert out == [("ADD", 5, 100, 1, LAST), ("ADD", 4, -101, 2, LAST)]
    assert (counters["records"], counters["records_A"], counters["tape_ADD"], counters["events"]) == (2, 2, 2, 2)


def test_rule_1_one_event_of_records_that_all_say_last():
    """Records of equal instrument, ts_event and sequence are one event, though each says F_LAST; over chunk seams too."""
    stream = Stream().add(1, "B", 100, 5, ts=10, sequence=1).record("T", price=100, size=2, ts=20, sequence=7).fill(1, 2, sequence=7).cancel(1, 2, sequence=7)
    for chunk in (0, 1, 2, 3):
        assert [flags & LAST for *_, flags in events(stream, chunk)[0]] == [LAST, 0, 0, LAST]


def test_rule_1_the_next_record_may_be_of_a_skipped_instrument():
    """What follows is the next record of the file: one of a book that nobody wants ends the event."""
    stream = Stream().add(1, "B", 100, 5, ts=10, sequence=1).add(2, "B", 1, 1, sequence=1, instrument=2).add(3, "B", 100, 5, sequence=1)
    counters = {}
    out = list(tape(stream.chunks(), instruments(only=[(1, 1)]), counters))
    assert [e.is_last for e in out] == [True, True]
    assert (counters["records_other_instruments"], counters["records"]) == (1, 2)


def test_rule_1_a_clear_ends_its_event_though_it_is_not_flagged():
    """Nasdaq's days begin with an R without F_LAST: it ends its event, unless it is a snapshot's, or the next record is of its event, as after others."""
    stream = Stream().clear(ts=10, last=False, sequence=1).add(1, "B", 100, 5, ts=90, sequence=2)
    stream.clear(ts=95, last=False, sequence=3).add(2, "B", 100, 5, sequence=3)
    assert short(stream) == [("CLEAR", 0, 0, LAST), ("ADD", 5, 100, LAST), ("CLEAR", 0, 0, 0), ("ADD", 5, 100, LAST)]
    stream = Stream().clear(ts=10, last=False, flags=SNAPSHOT).add(1, "B", 100, 5, flags=SNAPSHOT)
    assert short(stream) == [("CLEAR", 0, 0, SNAPSHOT), ("ADD", 5, 100, SNAPSHOT | LAST)]


def test_rule_1_the_last_record_of_a_file_has_no_next():
    """An event does not go on into the next file."""
    one = Stream().add(1, "B", 100, 5, ts=10, sequence=1)
    two = Stream().add(2, "B", 100, 5, ts=10, sequence=1)
    assert [e.is_last for e in tape([*one.chunks(), *two.chunks()], instruments(), {})] == [True, True]


def test_rule_1_a_record_without_tape_event_that_ends_an_event_yields_status():
    """N with F_LAST: STATUS with LAST; without: nothing."""
    assert short(Stream().record("N", ts=1).record("N", last=False)) == [("STATUS", 0, 0, LAST)]


def test_rule_2_a_snapshot_without_clear_and_without_last():
    """A's with the SNAPSHOT bit begin with a CLEAR; the first record without the bit is preceded by a STATUS that ends them."""
    stream = Stream().add(1, "B", 100, 5, last=False, flags=SNAPSHOT).add(2, "A", 101, 4, last=False, flags=SNAPSHOT).add(3, "B", 99, 1, ts=10)
    out, counters = events(stream)
    assert out == [("CLEAR", 0, 0, 0, 32), ("ADD", 5, 100, 1, 32), ("ADD", 4, -101, 2, 32), ("STATUS", 0, 0, 0, 32 | LAST), ("ADD", 1, 99, 3, LAST)]
    assert (counters["snapshots_without_clear"], counters["snapshots_without_last"]) == (1, 1)


def test_rule_2_a_snapshot_brings_orders_back_to_their_old_places():
    """Same id, side and level: the old stamp. Another level, or an id unknown before: the next one."""
    stream = Stream().add(1, "B", 100, 5).add(2, "B", 100, 3).add(3, "A", 101, 4)
    stream.clear(ts=50, last=False, flags=SNAPSHOT)
    for order, side, price, last in ((1, "B", 100, False), (2, "B", 99, False), (9, "B", 100, False), (3, "A", 101, True)):
        stream.add(order, side, price, 7, last=last, flags=SNAPSHOT)
    out, counters = events(stream)
    assert [stamp for kind, _, _, stamp, flags in out if kind == "ADD" and flags & SNAPSHOT] == [1, 4, 5, 3]
    assert "snapshots_without_clear" not in counters
    assert "snapshots_without_last" not in counters


def test_rule_3_an_add_of_a_live_id_replaces_it():
    """The old order is removed first; an A that is ignored removes nothing."""
    out, counters = events(Stream().add(1, "B", 100, 5).add(1, "B", 99, 2).add(1, "N", 99, 2).add(1, "B", None, 2).add(1, "B", 98, 0))
    assert out[1:3] == [("REMOVE", -5, 100, 1, GONE), ("ADD", 2, 99, 2, LAST)]
    assert [kind for kind, *_ in out[3:]] == ["STATUS"] * 3
    assert [counters[name] for name in ("adds_of_live_id", "sides_missing", "prices_undefined", "sizes_zero")] == [1, 1, 1, 1]


def test_rule_3_top_of_book():
    """Each A replaces its side; an undefined price, a size of 0, or a C empties it."""
    stream = Stream()
    for price, size in ((100, 5), (101, 6), (None, 0)):
        stream.add(0, "B", price, size, flags=TOP_OF_BOOK)
    stream.add(0, "A", 103, 1, flags=TOP_OF_BOOK).record("C", side="A", size=1, flags=TOP_OF_BOOK)
    assert short(stream) == [
        ("ADD", 5, 100, LAST), ("REMOVE", -5, 100, GONE), ("ADD", 6, 101, LAST), ("REMOVE", -6, 101, GONE | LAST),
        ("ADD", 1, -103, LAST), ("REMOVE", -1, -103, GONE | LAST),
    ]  # fmt: skip


def test_rule_4_cancels():
    """A C takes away its size, at most what is there; unknown ids and empty C's are counted."""
    out, counters = events(Stream().add(1, "B", 100, 5).cancel(1, 2).cancel(1, 9).cancel(1, 1).add(2, "B", 1, 1).cancel(2, 0))
    assert out[1:3] == [("REMOVE", -2, 100, 1, LAST), ("REMOVE", -3, 100, 1, GONE | LAST)]
    assert [counters[name] for name in ("cancels_partial", "cancels_oversized", "cancels_unknown", "sizes_zero")] == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("side", "price", "size", "expected"),
    [
        ("B", 100, 3, [("REMOVE", -2, 100, 0)]),
        ("N", 100, 3, [("REMOVE", -2, 100, 0)]),
        ("B", 100, 5, [("STATUS", 0, 0, 0)]),
        ("B", 100, 6, [("REMOVE", -5, 100, GONE | MODIFIED), ("ADD", 6, 100, MODIFIED)]),
        ("B", 99, 3, [("REMOVE", -5, 100, GONE | MODIFIED), ("ADD", 3, 99, MODIFIED)]),
        ("A", 101, 5, [("REMOVE", -5, 100, GONE | MODIFIED), ("ADD", 5, -101, MODIFIED)]),
        ("B", None, 3, [("STATUS", 0, 0, 0)]),
        ("B", 100, 0, [("REMOVE", -5, 100, GONE)]),
    ],
)
def test_rule_5_modifies(side, price, size, expected):
    """Of an order B 100 x 5, only a smaller size at the same place keeps priority."""
    expected[-1] = (*expected[-1][:3], expected[-1][3] | LAST)
    assert short(Stream().add(1, "B", 100, 5).modify(1, side, price, size))[1:] == expected


def test_rule_5_a_modify_of_an_unknown_id_is_an_add():
    """It is counted, and joins the back without the MODIFIED flag."""
    out, counters = events(Stream().modify(1, "B", 100, 5))
    assert (out, counters["modifies_unknown"]) == ([("ADD", 5, 100, 1, LAST)], 1)


def test_rule_5_an_iceberg_refill_queues_anew():
    """B 100 x 5, of which 5 are filled: an M to 5 restores what was displayed, at the back. Filled by 2, an M to 3 is the fill itself: priority stays."""
    out, counters = events(Stream().add(1, "B", 100, 5).fill(1, 5, last=False).modify(1, "B", 100, 5))
    assert out[1:] == [("FILL", -5, 100, 1, 0), ("REMOVE", -5, 100, 1, GONE | MODIFIED), ("ADD", 5, 100, 2, MODIFIED | LAST)]
    assert counters["iceberg_refills"] == 1
    out, counters = events(Stream().add(1, "B", 100, 5).fill(1, 2, last=False).modify(1, "B", 100, 3))
    assert out[1:] == [("FILL", -2, 100, 1, 0), ("REMOVE", -2, 100, 1, LAST)]
    assert "iceberg_refills" not in counters


def test_rule_6_fills():
    """A FILL is at the order's place; the aggressor's own and unknown ones are ignored; a C resets what was filled."""
    stream = Stream().add(1, "B", 100, 5).add(2, "A", 101, 5)
    stream.trade("A", 100, 4, order_id=2, last=False).fill(2, 4, last=False).fill(1, 4, last=False).cancel(1, 4)
    stream.fill(77, 1).fill(1, 0).fill(1, 1)
    out, counters = events(stream)
    assert out[2:5] == [("TRADE", 4, 100, 100 * 10**9, 0), ("FILL", -4, 100, 1, 0), ("REMOVE", -4, 100, 1, LAST)]
    assert out[-1] == ("FILL", -1, 100, 1, LAST)
    assert [counters[name] for name in ("fills_of_aggressor", "fills_unknown", "sizes_zero")] == [1, 1, 1]


def test_rule_6_what_exceeds_the_displayed_size_is_a_fill_of_its_own():
    """B 100 x 5 filled by 3, then by 6: 2 were displayed, 4 came from behind, with the next stamp."""
    out, counters = events(Stream().add(1, "B", 100, 5).fill(1, 3).fill(1, 6).fill(1, 1))
    assert out[2:] == [("FILL", -2, 100, 1, 0), ("FILL", -4, 100, 2, EXCESS | LAST), ("FILL", -1, 100, 3, EXCESS | LAST)]
    assert counters["fills_beyond_displayed"] == 2


def test_rule_7_a_print_may_have_any_price():
    """A TRADE between two ticks keeps its exact price; its level is the tick below, and never out of range."""
    stream = Stream(grid=1).trade("B", 2_500_000_000, 3).trade("N", None, 1).trade("A", -(2**62), 1).record("x")
    out, counters = events(stream)
    assert [(level, price) for kind, _, level, price, _ in out if kind == "TRADE"] == [(2, 2_500_000_000), (2**31 - 1, UNDEFINED_PRICE), (1 - 2**31, -(2**62))]
    assert counters["actions_unknown"] == 1


def test_rule_8_times():
    """Undefined times take each other's place; what looks wrong is counted, in snapshots nothing is."""
    stream = Stream().record("N", ts=10, recv=-1).record("N", ts=-1, recv=20).record("N", ts=30, recv=25).record("N", ts=15, flags=8 | 4)
    stream.record("N", ts=1, recv=-1, flags=SNAPSHOT | 8 | 4)
    counters = {}
    out = list(tape(stream.chunks(), instruments(), counters))
    assert [(e.ts_event, e.ts_recv) for e in out[:4]] == [(10, 10), (20, 20), (30, 25), (15, 16)]
    names = ("timestamps_undefined", "ts_recv_before_ts_event", "ts_event_backwards", "bad_ts_recv", "maybe_bad_book")
    assert [counters[name] for name in names] == [2, 1, 1, 1, 1]


@pytest.mark.parametrize("price", [1_500_000_000, (2**31 - 1) * 10**9])
def test_rule_9_prices_off_the_grid_or_out_of_range_stop_the_run(price):
    """The error names record and price."""
    stream = Stream(grid=1).add(1, "B", 10**9, 1).add(2, "A", price, 1)
    with pytest.raises(DataError, match=rf"record 2 .*{price}"):
        events(stream)


def test_an_excluded_order_leaves_no_trace_but_its_fills():
    """Rule 12: no ADD or REMOVE of it, the stamps and events of all others as they were, and its FILL where it stood."""
    stream = Stream().add(1, "B", 100, 5).add(2, "B", 100, 3).trade("A", 100, 6, last=False).fill(1, 5, last=False).fill(2, 1, last=False)
    stream.cancel(1, 5, last=False).cancel(2, 1)
    known, counters = instruments(), {}
    known.excluded_orders = frozenset({1})
    found = [(Kind(e.kind).name, e.delta, e.priority if e.kind != Kind.TRADE else 0, e.is_last) for e in tape(stream.chunks(), known, counters)]
    assert found == [
        ("STATUS", 0, 0, True),
        ("ADD", 3, 2, True),
        ("TRADE", 6, 0, False),
        ("FILL", -5, 1, False),
        ("FILL", -1, 2, False),
        ("REMOVE", -1, 2, True),
    ]
    assert counters["records_excluded"] == 2
