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
    kind, flags = (Kind.ADD, 0) if size > 0 else (Kind.REMOVE, 1)
    book.apply(TapeEvent(0, 0, size, 0, tick if side == "B" else -tick, 0, 0, kind, flags, Side(ord(side))))


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
    features.update(book)
    values = {f.name: features.values[f] for f in Feature}
    assert values.pop("SPREAD_RELATIVE") == 0.5 / 100.25
    assert math.isnan(values.pop("VOLATILITY"))
    assert values == {"SPREAD": 0.5, "MID": 100.25, "MICROPRICE": 100.375, "IMBALANCE": 0.5, "DEPTH_BID": 8, "DEPTH_ASK": 2, "ORDER_FLOW_IMBALANCE": 0}


def test_features_of_one_side_are_nan_and_those_of_an_empty_book_too():
    """Without asks only depths and order flow are numbers."""
    features = Features(GRID)
    numbers = {Feature.DEPTH_BID, Feature.DEPTH_ASK, Feature.ORDER_FLOW_IMBALANCE}
    assert {f for f in Feature if not math.isnan(features.values[f])} == numbers
    book = Book()
    add(book, "B", 400, 3)
    features.update(book)
    assert {f for f in Feature if not math.isnan(features.values[f])} == numbers
    assert features.values[Feature.DEPTH_BID] == 3


def test_depth_is_of_five_levels():
    """A sixth level is not counted."""
    book, features = Book(), Features(GRID)
    for tick in range(400, 394, -1):
        add(book, "B", tick, 1)
    features.update(book)
    assert features.values[Feature.DEPTH_BID] == 5


def test_order_flow_imbalance(book):
    """A better bid counts whole, a change at the touch by its difference, a touch that is gone by what it had; asks the other way round."""
    features = Features(GRID)
    features.update(book)
    flows = []
    for side, tick, size in (("B", 401, 5), ("B", 401, 3), ("B", 401, -8), ("A", 402, 4), ("A", 402, -6)):
        before = features.values[Feature.ORDER_FLOW_IMBALANCE]
        add(book, side, tick, size)
        features.update(book)
        flows.append(features.values[Feature.ORDER_FLOW_IMBALANCE] - before)
    assert flows == [5, 3, -8, -4, 6]


def test_volatility_is_of_changes_of_the_mid(book):
    """d², then 0.94 v + 0.06 d²; what leaves the mid alone changes nothing, nor does an absent side."""
    features = Features(GRID)
    features.update(book)
    for side, tick, size, expected in (
        ("B", 401, 1, 0.125),
        ("A", 402, 1, 0.125),
        ("A", 402, -3, 0.125),
        ("A", 404, 2, math.sqrt(0.94 * 0.125**2 + 0.06 * 0.25**2)),
    ):
        add(book, side, tick, size)
        features.update(book)
        assert features.values[Feature.VOLATILITY] == expected
