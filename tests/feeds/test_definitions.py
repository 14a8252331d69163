"""What becomes known of instruments: definitions, ticks given and inferred, symbols, multipliers."""

import math

import numpy as np
import pytest
from dbn_files import real, some_records, write

from tapeline.errors import ConfigError, DataError
from tapeline.feeds.dbn import DbnInput
from tapeline.feeds.definitions import Definition, Survey, instruments_of, price_units, read_definitions, survey
from tapeline.instruments import format_price

SEVEN = (1, 7)


def definition(**changes):
    """A definition of instrument 7."""
    shape = {"publisher_id": 1, "instrument_id": 7, "symbol": "SEVEN", "min_price_increment": 250_000_000, "multiplier": 50.0}
    return Definition(**{**shape, "currency": "USD", "match_algorithm": "F", "expiration": None, **changes})


@pytest.fixture
def source(tmp_path):
    """An input with one instrument at prices 100.5 and 103.25."""
    rows = some_records(2)
    rows["price"] = [100_500_000_000, 103_250_000_000]
    return DbnInput([write(tmp_path / "x.dbn", rows)])


def test_definition_file():
    """ES in 2023 (DBN v1) leaves its multiplier undefined: the 50 stands in unit_of_measure_qty."""
    found = read_definitions(real("es-fut.definition.dbn.zst"))
    es = found[1, 95414]
    assert (es.symbol, es.min_price_increment, es.multiplier, es.currency, es.match_algorithm) == ("ESM3", 250_000_000, 50.0, "USD", "F")


def test_definition_file_with_undefined_values():
    """Nasdaq's definitions say nothing of tick and multiplier: they are None, not huge numbers."""
    found = read_definitions(real("tiny/test_data.definition.v3.dbn.zst"))
    assert {(d.min_price_increment, d.multiplier, d.expiration) for d in found.values()} == {(None, None, None)}


@pytest.mark.parametrize(
    ("text", "units"), [("0.25", 250_000_000), (0.25, 250_000_000), (1, 10**9), ("1e-9", 1), (0.1, 100_000_000), ("0.00390625", 3_906_250)]
)
def test_price_units(text, units):
    """A decimal becomes an exact integer in 1e-9; a float means the decimal that it prints as."""
    assert price_units(text, "tick_size") == units


@pytest.mark.parametrize(
    ("price", "text"),
    [
        (123456.75, "123456.75"),
        (100.0, "100"),
        (1e-9, "0.000000001"),
        (-0.1 - 0.2, "-0.3"),
        (np.float64(1e7), "10000000"),
        (12345678100000001 / 1e9, "12345678.1"),
    ],
)
def test_prices_are_shown_whole(price, text):
    """In stories, tables and errors a price has all its digits, without exponents and the noise of floats."""
    assert format_price(price) == text


@pytest.mark.parametrize("text", ["0", -1, "1e-10", "a quarter", float("nan"), float("inf"), True, "0.1234567891"])
def test_price_units_refused(text):
    """What is not positive, or not exact in 1e-9, names the setting."""
    with pytest.raises(ConfigError, match="tick_size"):
        price_units(text, "tick_size")


def test_survey_takes_the_divisor_of_book_prices(tmp_path):
    """Only adds and modifies with a price count, each instrument for itself, negative prices too."""
    rows = some_records(6)
    rows["instrument_id"] = [7, 8, 7, 8, 7, 7]
    rows["price"] = [1_500, -30, 2_500, 42, 2**63 - 1, 1]
    rows["action"][5] = ord("T")
    assert survey(DbnInput([write(tmp_path / "x.dbn", rows)])) == {(1, 7): Survey(500, 4), (1, 8): Survey(6, 2)}


def test_survey_of_many_instruments(tmp_path):
    """Thousands of instruments and several publishers are kept apart, in order of appearance."""
    rows = some_records(30_000)
    rng = np.random.default_rng(3)
    rows["instrument_id"] = rng.integers(0, 5_000, len(rows)) * 64
    rows["publisher_id"] = rng.integers(1, 4, len(rows))
    keys = list(zip(rows["publisher_id"].tolist(), rows["instrument_id"].tolist(), strict=True))
    found = survey(DbnInput([write(tmp_path / "x.dbn", rows)]))
    assert list(found) == list(dict.fromkeys(keys))
    assert sum(one.records for one in found.values()) == len(rows)


def test_survey_ends_at_damage(tmp_path):
    """What is before the damage is surveyed; the run will tell of it."""
    path = write(tmp_path / "x.dbn", some_records(5))
    path.write_bytes(path.read_bytes()[:-1])
    assert survey(DbnInput([path]))[SEVEN].records == 4


def test_tick_of_the_user_comes_first(source):
    """tick_size beats the definition, the definition beats what the data suggests."""
    chosen = [
        instruments_of(source, tick_size="0.125", definitions={SEVEN: definition()}, multiplier=1.0),
        instruments_of(source, definitions={SEVEN: definition(min_price_increment=10_000_000)}),
        instruments_of(source, multiplier=1.0),
    ]
    assert [(i.grid, i.tick) for i in (registry.register(SEVEN) for registry in chosen)] == [(125_000_000,) * 2, (10_000_000,) * 2, (250_000_000,) * 2]


def test_ticks_and_multipliers_by_instrument(tmp_path):
    """By symbol or id, an id as text included, as tables in TOML and JSON have it; what a mapping leaves out is as without it."""
    rows = some_records(6)
    rows["instrument_id"] = [7, 8, 9, 7, 8, 9]
    rows["price"] = 1_500_000_000
    source, known = DbnInput([write(tmp_path / "x.dbn", rows)]), {(1, 9): definition(instrument_id=9, symbol="NINE")}
    found = instruments_of(source, tick_size={"SEVEN": "0.5", 8: 0.1}, multiplier={"8": 20, 7: 5.0}, definitions=known)
    each = [(i.symbol, i.grid, i.tick, i.multiplier) for i in map(found.register, [SEVEN, (1, 8), (1, 9)])]
    assert each == [("SEVEN", 500_000_000, 500_000_000, 5.0), ("", 100_000_000, 100_000_000, 20.0), ("NINE", 250_000_000, 250_000_000, 50.0)]
    only_one = instruments_of(source, tick_size={8: "0.25"}, multiplier=1.0)
    assert [only_one.register(key).tick for key in (SEVEN, (1, 8))] == [1_500_000_000, 250_000_000]
    with pytest.raises(ConfigError, match=r"no contract multiplier is known for SEVEN.*multiplier= \(--multiplier\)"):
        instruments_of(source, tick_size=1, multiplier={8: 20}).register(SEVEN)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"tick_size": {"SEVNE": 1}}, "tick_size: 'SEVNE' is not in the input; it has SEVEN"),
        ({"multiplier": {70: 1}}, "multiplier: 70 is not in the input; it has SEVEN"),
        ({"multiplier": {None: 1}}, "multiplier: None is neither a symbol"),
        ({"multiplier": {(1, 7): 1}}, r"multiplier: \(1, 7\) is neither a symbol"),
        ({"tick_size": {"SEVEN": 0}}, r"tick_size\['SEVEN'\]=0: expected a positive number"),
        ({"multiplier": {7: -1}}, r"multiplier\[7\]=-1: expected currency"),
        ({"multiplier": "50"}, "multiplier='50': expected currency"),
        ({"tick_size": {"SEVEN": 0.25, 7: 0.5}}, r"tick_size: 7 is there twice: 'SEVEN' is the same instrument \(7 is its id\)"),
        ({"multiplier": {7: 50, "7": 50}}, "multiplier: '7' is there twice: 7 is the same instrument"),
    ],
)
def test_wrong_settings_by_instrument_are_named(source, settings, said):
    """A name that is none, not in the input, or there twice, and a value that is none, are told: a typing error must not leave a tick to be inferred."""
    with pytest.raises(ConfigError, match=said):
        instruments_of(source, **({"tick_size": 1, "multiplier": 1.0} | settings))


def test_fees_by_instrument(tmp_path):
    """Whatever is given for fees is known by key: by symbol, the definition's too, by id, or by publisher and id; each setting by itself."""
    rows = some_records(6)
    rows["instrument_id"], rows["publisher_id"] = [7, 8, 9, 7, 8, 9], [1, 1, 1, 2, 2, 1]
    source, known = DbnInput([write(tmp_path / "x.dbn", rows)]), {(1, 9): definition(instrument_id=9, symbol="NINE")}
    given = [{"SEVEN": "a", "8": "b", "NINE": "c"}, {(1, 7): "d", (2, 7): "e", 8: "f", 9: "g"}]
    found = instruments_of(source, tick_size=1, multiplier=1.0, definitions=known, fees=given)
    assert found.fees == [
        {(1, 7): "a", (2, 7): "a", (1, 8): "b", (2, 8): "b", (1, 9): "c"},
        {(1, 7): "d", (2, 7): "e", (1, 8): "f", (2, 8): "f", (1, 9): "g"},
    ]
    assert [found.register(key).symbol for key in ((1, 7), (2, 8), (1, 9))] == ["SEVEN", "", "NINE"]
    assert found.several


@pytest.mark.parametrize(
    ("fees", "said"),
    [
        ([{"SEVEN": 0, "SEVNE": 0}], "fees: 'SEVNE' is not in the input; it has SEVEN"),
        ([{7: 0}, {70: 0}], "fees: 70 is not in the input; it has SEVEN"),
        ([{7: 0, (1, 70): 0}], "fees: 70 is not in the input; it has SEVEN"),
        ([{7: 0, None: 0}], "fees: None is neither a symbol"),
        ([{7: 0, (1, "SEVEN"): 0}], r"fees: \(1, 'SEVEN'\) is neither a symbol"),
        ([{"SEVEN": 0, 7: 0}], r"fees: 7 is there twice: 'SEVEN' is the same instrument \(7 is its id\)"),
        ([{(1, 7): 0, "SEVEN": 0}], r"fees: 'SEVEN' is there twice: \(1, 7\) is the same instrument"),
        ([{7: 0}, {}], r"fees: they are given by instrument, and SEVEN \(publisher 1, id 7\) is not among them"),
        ([{(2, 7): 0}], r"fees: they are given by instrument, and SEVEN \(publisher 1, id 7\) is not among them"),
    ],
)
def test_wrong_fees_by_instrument_are_named(source, fees, said):
    """Names as of ticks; and an instrument that is left out, for there nothing but free trading would stand in."""
    with pytest.raises(ConfigError, match=said):
        instruments_of(source, tick_size=1, multiplier=1.0, fees=fees).register(SEVEN)


def test_a_given_tick_needs_no_survey(source, monkeypatch):
    """With the tick given, for all or for each, or defined, the input is not read beforehand."""
    monkeypatch.setattr("tapeline.feeds.definitions.survey", lambda _: pytest.fail("the input was read"))
    instruments_of(source, tick_size="0.25", multiplier=1.0).register(SEVEN)
    instruments_of(source, tick_size={"SEVEN": "0.25"}, multiplier={7: 1.0}, fees=[{"SEVEN": 0}]).register(SEVEN)
    instruments_of(source, definitions={SEVEN: definition()}).register(SEVEN)


def test_multiplier(source):
    """The user's multiplier beats the definition's; an instrument for which neither is known is refused by its name."""
    known = {SEVEN: definition()}
    assert instruments_of(source, definitions=known).register(SEVEN).multiplier == 50.0
    assert instruments_of(source, definitions=known, multiplier=5.0).register(SEVEN).multiplier == 5.0
    with pytest.raises(ConfigError, match=r"SEVEN.*multiplier="):
        instruments_of(source, tick_size=1).register(SEVEN)
    with pytest.raises(ConfigError, match="multiplier"):
        instruments_of(source, definitions={SEVEN: definition(multiplier=None)}).register(SEVEN)


@pytest.mark.parametrize("multiplier", [0, -50.0, math.nan, math.inf])
def test_a_multiplier_that_is_none_is_refused(source, multiplier):
    """Money needs a positive number."""
    with pytest.raises(ConfigError, match="multiplier"):
        instruments_of(source, tick_size=1, multiplier=multiplier)


def test_other_matching_is_refused_when_used(source):
    """An instrument that does not match by price and time is refused by its name, and only when it appears."""
    known = {SEVEN: definition(match_algorithm="K"), (1, 8): definition(instrument_id=8)}
    registry = instruments_of(source, definitions=known)
    with pytest.raises(ConfigError, match=r"SEVEN.*'K'"):
        registry.register(SEVEN)
    assert registry.known == []


def test_instruments_chosen(tmp_path):
    """Symbols, ids and keys choose instruments, in that order; several of them make a run on several."""
    rows = some_records(4)
    rows["instrument_id"] = [7, 8, 9, 7]
    rows["publisher_id"] = [1, 1, 2, 1]
    source = DbnInput([write(tmp_path / "x.dbn", rows)])
    registry = instruments_of(source, only=[(2, 9), 8, "SEVEN"], multiplier=1.0)
    assert [i.key for i in registry.known] == [(2, 9), (1, 8), SEVEN]
    assert registry.several
    assert registry.register((1, 55)) is None
    single = instruments_of(source, only=["SEVEN"], tick_size=1, multiplier=1.0)
    assert [(i.symbol, i.key) for i in single.known] == [("SEVEN", SEVEN)]
    assert not single.several
    with pytest.raises(ConfigError, match=r"SEVNE.*SEVEN"):
        instruments_of(source, only=["SEVNE"])


def test_a_symbol_of_two_venues_is_both(source):
    """A symbol that definitions of two venues have for one id, and the input for none, names both, each once."""
    both = {(publisher, 70): definition(publisher_id=publisher, instrument_id=70, symbol="SEVENTY") for publisher in (1, 2)}
    registry = instruments_of(source, only=["SEVENTY", 7], definitions=both | {SEVEN: definition()})
    assert [one.key for one in registry.known] == [(1, 70), (2, 70), SEVEN]


@pytest.mark.parametrize(
    ("only", "said"),
    [
        ([], "expected at least one symbol or id"),
        ([7, "SEVEN"], "'SEVEN' is there twice: each has one index"),
        ([7, 7], "7 is there twice"),
        ([70], "70 is not in the input; it has SEVEN"),
        ([1.5], r"1\.5 is neither a symbol"),
        ([None], "None is neither a symbol"),
        ([(1, 70)], "70 is not in the input; it has SEVEN"),
        ([(1, 7, 0)], r"\(1, 7, 0\) is neither a symbol"),
        ([(1, "SEVEN")], r"\(1, 'SEVEN'\) is neither a symbol"),
    ],
)
def test_instruments_that_cannot_be_chosen(source, only, said):
    """What would give a strategy other indices than its list says, or books that nothing ever comes to, is refused by name."""
    with pytest.raises(ConfigError, match=f"instruments: {said}"):
        instruments_of(source, only=only, tick_size=1, multiplier=1.0)


def test_a_venue_that_shows_up_late_is_not_left_out_silently(tmp_path):
    """An instrument that is named means all venues that have it: one whose records begin later than anybody looked is told of, unless venues were named."""
    rows = some_records(70_000)
    rows["publisher_id"][69_000:] = 2
    source = DbnInput([write(tmp_path / "x.dbn", rows)])
    for name in ("SEVEN", 7):
        found = instruments_of(source, only=[name], tick_size=1, multiplier=1.0)
        with pytest.raises(ConfigError, match=r"id 7 is on a second venue, too \(publisher 2\).*instruments=\[\(1, 7\)\], or \[\(1, 7\), \(2, 7\)\] for all"):
            found.register((2, 7))
    assert instruments_of(source, only=[SEVEN], tick_size=1, multiplier=1.0).register((2, 7)) is None
    assert [i.key for i in instruments_of(source, only=["SEVEN"], multiplier=1.0).known] == [SEVEN, (2, 7)]


def test_instruments_chosen_by_numpy(source):
    """Ids as frames have them, NumPy's whole numbers, are ids."""
    assert [i.key for i in instruments_of(source, only=np.array([7], np.uint32), tick_size=1, multiplier=1.0).known] == [SEVEN]


def test_no_prices_at_all(tmp_path):
    """An instrument without book prices gets a grid that holds any."""
    source = DbnInput([write(tmp_path / "x.dbn")])
    assert instruments_of(source, multiplier=1.0).register(SEVEN).grid == 1


def test_a_file_without_definitions_is_refused(tmp_path):
    """Orders in the place of definitions are named, and not taken for definitions of nothing."""
    path = write(tmp_path / "orders.dbn", some_records(3))
    with pytest.raises(DataError, match=r"orders\.dbn: holds no definition records: expected a DBN file of schema 'definition'"):
        read_definitions(path)


def test_definitions_of_others_are_named_where_a_multiplier_is_missing(source):
    """Who gives the definitions of another contract is told of which."""
    other = definition(instrument_id=8, symbol="EIGHT")
    registry = instruments_of(source, tick_size=0.25, definitions={other.key: other})
    with pytest.raises(ConfigError, match=r"multiplier is known for SEVEN.*\(those given are of EIGHT\)"):
        registry.register(SEVEN)


@pytest.mark.parametrize("multiplier", ["50", math.nan, 0])
def test_a_multiplier_is_a_number_above_0(source, multiplier):
    """Text, too, is refused by name."""
    with pytest.raises(ConfigError, match=f"multiplier={multiplier!r}"):
        instruments_of(source, multiplier=multiplier)
