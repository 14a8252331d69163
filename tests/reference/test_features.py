"""The features of a book, against values worked out by hand."""

import math

import pytest

from tapeline.constants import Feature, Kind, Side
from tapeline.reference.book import Book
from tapeline.reference.features import Features
from tapeline.reference.tape import TapeEvent

GRID = 250_000_000
"""A quarter of a price unit."""


def add(book, side, tick, size):
    """One order joins, or leaves (size < 0)."""
    kind, flags, orders = (Kind.ADD, 0, 1) if size > 0 else (Kind.REMOVE, 1, -1)
    book.apply(TapeEvent(0, 0, size, 0, tick if side == "B" else -tick, 0, 0, kind, flags, Side(ord(side)), orders))


END = TapeEvent(0, 0, 0, 0, 0, 0, 0, Kind.STATUS, 128, Side.NONE, 0)
"""The end of an event at time 0."""


@pytest.fixture
def book():
    """Bids 100.00: 6, 99.75: 2; asks 100.50: 2."""
    book = Book()
    for side, tick, size in (("B", 400, 6), ("B", 399, 2), ("A", 402, 2)):
        add(book, side, tick, size)
    return book


def test_features_of_the_touch(book):
    """Spread, mid, microprice and imbalance of 6 at 100.00 against 2 at 100.50."""
    features = Features(GRID)
    features.update(book, END)
    values = {f.name: features.values[f] for f in Feature}
    assert values["SPREAD_RELATIVE"] == 0.5 / 100.25
    assert math.isnan(values["VOLATILITY"])
    expected = {"SPREAD": 0.5, "MID": 100.25, "MICROPRICE": 100.375, "IMBALANCE": 0.5, "IMBALANCE_ORDERS": 0.0, "ORDER_FLOW_IMBALANCE": 0}
    assert {name: values[name] for name in expected} == pytest.approx(expected)


def test_features_of_several_levels(book):
    """Depths 8 and 2, their imbalance; slopes: of bids (0.25 * 6 + 0.5 * 8) / (0.25² + 0.5²), of asks (0.25 * 2) / 0.25²."""
    features = Features(GRID)
    features.update(book, END)
    values = {f.name: features.values[f] for f in Feature}
    expected = {"DEPTH_BID": 8, "DEPTH_ASK": 2, "DEPTH_BID_10": 8, "DEPTH_ASK_10": 2, "IMBALANCE_5": 0.6, "IMBALANCE_10": 0.6}
    expected |= {"SLOPE_BID": 5.5 / 0.3125, "SLOPE_ASK": 8.0, "ORDER_FLOW_IMBALANCE_5": 0}
    assert {name: values[name] for name in expected} == pytest.approx(expected)


def test_features_of_one_side_are_nan_and_those_of_an_empty_book_too():
    """Without asks only depths, flows and rates are numbers, and what says that there are no asks."""
    features = Features(GRID)
    numbers = {Feature.DEPTH_BID, Feature.DEPTH_ASK, Feature.DEPTH_BID_10, Feature.DEPTH_ASK_10, Feature.ORDER_FLOW_IMBALANCE, Feature.ORDER_FLOW_IMBALANCE_5}
    numbers |= {Feature.EVENT_RATE, Feature.ADD_RATE, Feature.CANCEL_RATE, Feature.TRADE_RATE, Feature.VOLUME_RATE, Feature.TRADE_FLOW}
    assert {f for f in Feature if not math.isnan(features.values[f])} == numbers
    book = Book()
    add(book, "B", 400, 3)
    features.update(book, END)
    assert {f for f in Feature if not math.isnan(features.values[f])} == numbers | {Feature.TOUCH_AGE_BID, Feature.IMBALANCE_5, Feature.IMBALANCE_10}
    assert features.values[Feature.DEPTH_BID] == 3


def test_depth_is_of_five_levels():
    """A sixth level is not counted."""
    book, features = Book(), Features(GRID)
    for tick in range(400, 394, -1):
        add(book, "B", tick, 1)
    features.update(book, END)
    assert features.values[Feature.DEPTH_BID] == 5


def test_order_flow_imbalance(book):
    """A better bid counts whole, a change at the touch by its difference, a touch that is gone by what it had; asks the other way round."""
    features = Features(GRID)
    features.update(book, END)
    flows = []
    for side, tick, size in (("B", 401, 5), ("B", 401, 3), ("B", 401, -8), ("A", 402, 4), ("A", 402, -6)):
        before = features.values[Feature.ORDER_FLOW_IMBALANCE]
        add(book, side, tick, size)
        features.update(book, END)
        flows.append(features.values[Feature.ORDER_FLOW_IMBALANCE] - before)
    assert flows == [5, 3, -8, -4, 6]


def test_volatility_is_of_changes_of_the_mid(book):
    """d², then 0.94 v + 0.06 d²; what leaves the mid alone changes nothing, nor does an absent side."""
    features = Features(GRID)
    features.update(book, END)
    for side, tick, size, expected in (
        ("B", 401, 1, 0.125),
        ("A", 402, 1, 0.125),
        ("A", 402, -3, 0.125),
        ("A", 404, 2, math.sqrt(0.94 * 0.125**2 + 0.06 * 0.25**2)),
    ):
        add(book, side, tick, size)
        features.update(book, END)
        assert features.values[Feature.VOLATILITY] == expected


def test_order_flow_imbalance_5_adds_up_levels(book):
    """A new best bid of 5 moves all bids one down: 5 at the touch; 100.00 against 99.75: all 6 of it; 99.75 against nothing: 2."""
    features = Features(GRID)
    features.update(book, END)
    add(book, "B", 401, 5)
    features.update(book, END)
    assert features.values[Feature.ORDER_FLOW_IMBALANCE_5] == 5 + 6 + 2


class Story:
    """Events of one book, told one after the other."""

    def __init__(self):
        """Before the first."""
        self.book, self.features, self.stamp = Book(), Features(GRID), 0

    def event(self, ms, *steps):
        """One event: steps of (kind, side, tick, signed size, flags); prices of trades are at their tick. Gives the values by name."""
        for kind, side, tick, size, flags in steps:
            self.stamp += 1
            priority = tick * GRID if kind == Kind.TRADE else self.stamp
            level, orders = -tick if side == "A" and kind != Kind.TRADE else tick, (kind == Kind.ADD) - (flags & 1)
            step = TapeEvent(ms * 1_000_000, 0, size, priority, level, 0, 0, kind, flags, Side(ord(side)), orders)
            self.book.apply(step)
            self.features.note(step)
        self.features.update(self.book, TapeEvent(ms * 1_000_000, 0, 0, 0, 0, 0, 0, Kind.STATUS, 128, Side.NONE, 0))
        return {f.name: self.features.values[f] for f in Feature}


def test_rates_decay_with_a_second():
    """Every count falls by exp(-dt / 1 s); a cancel is what neither a modify nor a fill of the event explains."""
    story = Story()
    story.event(0, (Kind.ADD, "B", 400, 6, 0), (Kind.ADD, "A", 402, 4, 0))
    traded = story.event(500, (Kind.TRADE, "A", 400, 2, 0), (Kind.FILL, "B", 400, -2, 0), (Kind.REMOVE, "B", 400, -2, 0))
    half = math.exp(-0.5)
    expected = {"EVENT_RATE": half + 1, "ADD_RATE": 2 * half, "CANCEL_RATE": 0, "TRADE_RATE": 1, "VOLUME_RATE": 2, "TRADE_FLOW": -2, "TRADE_IMBALANCE": -1}
    assert {name: traded[name] for name in expected} == pytest.approx(expected)
    later = story.event(1000, (Kind.REMOVE, "B", 400, -1, 0), (Kind.REMOVE, "B", 400, -3, 3), (Kind.ADD, "B", 400, 2, 2), (Kind.TRADE, "B", 402, 6, 0))
    expected = {"ADD_RATE": 2 * half * half, "CANCEL_RATE": 1, "TRADE_RATE": half + 1, "VOLUME_RATE": 2 * half + 6, "TRADE_FLOW": -2 * half + 6}
    assert {name: later[name] for name in expected} == pytest.approx(expected)
    assert (later["VWAP"], later["TRADE_SIZE"], later["TRADE_AGE"]) == ((100 * 2 + 100.5 * 6) / 8, 6, 0)


def test_ages_count_from_the_last_change():
    """The touch's age is that of its price: sizes may change; time never runs back."""
    story = Story()
    story.event(1000, (Kind.ADD, "B", 400, 6, 0))
    story.event(3000, (Kind.ADD, "B", 400, 6, 0), (Kind.TRADE, "N", 400, 1, 0))
    assert story.event(3500)["TOUCH_AGE_BID"] == 2.5
    assert story.event(3400)["TRADE_AGE"] == 0.5
    moved = story.event(4000, (Kind.ADD, "B", 401, 1, 0))
    assert (moved["TOUCH_AGE_BID"], moved["TRADE_AGE"]) == (0, 1)
    assert math.isnan(moved["TOUCH_AGE_ASK"])


def test_returns_look_back_over_their_horizon():
    """RETURN_1S compares with the mid at the eleventh last multiple of 100 ms, as the last event before it had left it."""
    story = Story()
    story.event(0, (Kind.ADD, "B", 400, 1, 0), (Kind.ADD, "A", 402, 1, 0))
    moved = story.event(1050, (Kind.ADD, "B", 401, 1, 0))
    assert math.isnan(moved["RETURN_1S"])
    assert story.event(1100)["RETURN_1S"] == 100.375 / 100.25 - 1
    assert story.event(2099)["RETURN_1S"] == 100.375 / 100.25 - 1
    assert story.event(2100)["RETURN_1S"] == 0
    assert story.event(2100)["RETURN_100MS"] == 0


def test_realised_volatility_samples_whole_seconds():
    """Two changes of the mid of 0.125 that stand at whole seconds, and one in between that does not, make sqrt(2) * 0.125; a minute later nothing is left."""
    story = Story()
    story.event(0, (Kind.ADD, "B", 400, 1, 0), (Kind.ADD, "A", 410, 1, 0))
    story.event(1500, (Kind.ADD, "B", 401, 1, 0))
    story.event(2100, (Kind.ADD, "B", 405, 1, 0))
    story.event(2200, (Kind.REMOVE, "B", 405, -1, 1))
    story.event(2500, (Kind.ADD, "B", 402, 1, 0))
    assert story.event(4000)["VOLATILITY_REALISED"] == math.sqrt(2 * 0.125**2)
    assert story.event(70_000)["VOLATILITY_REALISED"] == 0
