"""What strategies do that cannot be meant: refused, or warned of, before they run."""

import re
from pathlib import Path

import pytest
from strategy_files import BOOK, strategy

import tapeline as tl
from tapeline import jit, terminal, uses
from tapeline.errors import CompileError


@pytest.mark.nojit
@pytest.mark.parametrize("engine", ["compiled", "reference"])
@pytest.mark.parametrize(
    ("body", "said"),
    [
        (f"{BOOK}account.position = 0", "account.position cannot be set: what a callback is given is to be read"),
        (f"{BOOK}market[0].bid_size += 1", "market.bid_size cannot be set"),
        ("def on_timer(self, m, orders, account):\n    m.bid_price = 3", "market.bid_price cannot be set"),
        (f"{BOOK}self.n = account.cash_ticks", "account has no attribute 'cash_ticks'; it has position, average_price, cash"),
        (f"{BOOK}self.n = market[0].now", "market has no attribute 'now': it is orders.now"),
        (
            f"{BOOK}self.n = market[0].mid",
            "market has no attribute 'mid': it is a feature, market.features[tl.Feature.MID], to be declared",
        ),
        ("def on_status(self, status, market, orders, account):\n    self.n = status.phas", "status has no attribute 'phas'; did you mean phase?"),
        (f"{BOOK}market.features[3] = 1.0", "market.features cannot be set"),
        (f"{BOOK}f = market.features; f[3] = 1.0", "market.features cannot be set: what a callback is given is to be read"),
        (f"{BOOK}m = market[0]; f, g = m.features, 3\n    f[g] += 1.0", "market.features cannot be set"),
        (f"{BOOK}a = account; a.position = 0", "account.position cannot be set"),
        (f"{BOOK}m = market[0]; m.bid_price += 1", "market.bid_price cannot be set"),
        (f"{BOOK}m, k = market[0], 3; b = m; b.bid_price = k", "market.bid_price cannot be set"),
        (f"{BOOK}self.help(3, account)\ndef help(self, k, a):\n    a.position = k", "account.position cannot be set"),
        (f"{BOOK}self.help(k=3, a=account)\ndef help(self, k, a):\n    b = a; b.position = k", "account.position cannot be set"),
        (f"{BOOK}self.one(account)\ndef one(self, a):\n    self.two(a)\ndef two(self, a):\n    a.position = 0", "account.position cannot be set"),
        (f"{BOOK}market.bid(0).size = 3", "level.size cannot be set: what a callback is given is to be read"),
        (f"{BOOK}best = market[0].ask(self.n); best.price += 1", "level.price cannot be set"),
        (f"{BOOK}self.help(market.bid(0))\ndef help(self, best):\n    best.count = 1", "level.count cannot be set"),
        (f"{BOOK}self.n = market.bid(0).sise", "level has no attribute 'sise'; did you mean size?"),
    ],
)
def test_arguments_of_callbacks_are_read_as_documented(tmp_path: Path, session: Path, body: str, said: str, engine: str) -> None:
    """What a callback is given is read by its documented names and never set, with either engine: some of it is memory that other strategies see."""
    cls = strategy(tmp_path, body)
    with pytest.raises(CompileError, match=re.escape(said)) as error:
        tl.Backtest(session, tick_size="0.25", multiplier=50, engine=engine).run(cls())
    place, line = str(error.value).splitlines()
    assert place.startswith(str(tmp_path))
    assert f".py:{6 + len(body.splitlines())}: in S.on_" in place
    assert line.strip() == body.splitlines()[-1].strip()


@pytest.mark.nojit
def test_plain_functions_are_looked_into(tmp_path: Path) -> None:
    """What a function of the module, which may have the strategy, too, does to what a callback is given is told with its own line."""
    before = "def reset(s, a):\n    s.n = 1\n    a.position = 0\n"
    with pytest.raises(CompileError, match=r"\.py:6: in S\.on_book: account.position cannot be set: .*\n    a.position = 0"):
        uses.check_class(strategy(tmp_path, f"{BOOK}reset(self, account)", before))


@pytest.mark.nojit
@pytest.mark.parametrize("ask", ["orders.buy(market.bid_price, 1.7)", "orders.buy_stop(1.0, 1)", "orders.cancel(1.0)", "orders.wake_at(orders.now + 1e9)"])
def test_plain_python_refuses_floats_in_requests(tmp_path: Path, session: Path, ask: str) -> None:
    """The reference engine refuses what compiled code does, in the same words: cut off, 1.7 lots are 1 without a word."""
    cls = strategy(tmp_path, f"def on_timer(self, market, orders, account):\n    self.n += 1\n{BOOK}{ask}")
    with pytest.raises(TypeError, match=re.escape("orders take whole numbers")):
        tl.Backtest(session, tick_size="0.25", multiplier=50, engine="reference").run(cls())


@pytest.mark.nojit
@pytest.mark.parametrize("engine", ["compiled", "reference"])
@pytest.mark.parametrize(
    ("body", "field"),
    [
        (f"{BOOK}self.n = 1.7", "'n' of S is int64"),
        (f"{BOOK}self.n = market.bid_price / 2", "'n' of S is int64"),
        (f"{BOOK}self.n += 0.5", "'n' of S is int64"),
        (f"{BOOK}self.n = np.float32(2.0)", "'n' of S is int64"),
        (f"seen: tl.uint8\n{BOOK}self.seen = np.floor(1.5)", "'seen' of S is uint8"),
        (f"{BOOK}self.half(3)\ndef half(self, k):\n    self.n = k / 2", "'n' of S is int64"),
        (f"mine: Mine\n{BOOK}self.mine.x = 1.0", "'x' of Mine is int32"),
    ],
)
def test_a_field_of_whole_numbers_refuses_a_float(tmp_path: Path, session: Path, body: str, field: str, engine: str) -> None:
    """A float would be cut off without a word: it is refused with class, field and line, compiled and in plain Python, in helpers and records, too."""
    cls = strategy(tmp_path, body, "class Mine(tl.Record):\n    x: tl.int32\n")
    kind = CompileError if engine == "compiled" and jit.JIT else TypeError
    with pytest.raises(kind, match=f"field {field}, a whole number, and this is a float: round it first") as error:
        tl.Backtest(session, tick_size="0.25", multiplier=50, engine=engine).run(cls())
    told = str(error.value) if kind is CompileError else terminal.place(error.value)
    assert told.startswith(f"{next(tmp_path.glob('*.py'))}:{8 + len(body.splitlines())}: ")


@pytest.mark.nojit
@pytest.mark.parametrize("engine", ["compiled", "reference"])
def test_fields_take_what_keeps_its_value(tmp_path: Path, session: Path, engine: str) -> None:
    """A field of floats takes whole numbers, one of whole numbers booleans and what was rounded, and an unsigned one what was counted on it."""
    body = (
        "x: tl.float64\nmask: tl.uint64\nsignals = ('x', 'mask', 'n')\ndef on_start(self, market, orders, account):\n"
        "    self.x = 3\n    self.mask += 1\n    self.mask = self.mask * 3 + int(1.7)\n    self.n = True\n    self.n += round(2.4)\n"
        "    self.signal(0, self.x); self.signal(1, self.mask); self.signal(2, self.n)"
    )
    result = tl.Backtest(session, tick_size="0.25", multiplier=50, engine=engine).run(strategy(tmp_path, body)())
    assert result.signals["value"].to_list() == [3.0, 4.0, 3.0]


@pytest.mark.nojit
def test_names_that_a_callback_uses_for_something_else_are_its_own(tmp_path: Path) -> None:
    """A name that is bound anew is no argument any more, and what is called like one in a helper is whatever it is given."""
    body = (
        f"mine: Mine\n{BOOK}account = self.mine\n    account.x = 3\n    self.help(account)\n    own = self.mine\n    own.x = market.bid_size\n"
        "    either = self.mine if self.n else market\n    either.x = 1\n    self.n = self.mine.x = 3\n    self.other(orders, self.mine)\n"
        "    for each in (self.mine, self.mine):\n        each.x = 1\n"
        "def help(self, market):\n    market.x += 1\n"
        "def other(self, account, mine):\n    account = mine\n    account.x = 2\n    self.mine.x = 3\n    self.n = self.many(market=mine)\n"
        "def many(self, *account, market):\n    return market.x\n"
    )
    uses.check_class(strategy(tmp_path, body, "class Mine(tl.Record):\n    x: tl.int64\n"))


@pytest.mark.nojit
@pytest.mark.parametrize("engine", ["compiled", "reference"])
@pytest.mark.parametrize(
    "body",
    [
        f"{BOOK}if market.features[tl.Feature.MID] > 3: self.n = 1",
        f"features = (tl.Feature.SPREAD,)\n{BOOK}self.n = 1 if market[0].features[tl.Feature.MID] > 0 else 2",
        f"mine: Mine\nfeatures = (tl.Feature.SPREAD,)\n{BOOK}self.n = 1 if self.mine.update(market) > 0 else 2",
    ],
)
def test_features_that_are_read_are_declared(tmp_path: Path, session: Path, body: str, engine: str) -> None:
    """What a strategy, or a feature of its own, reads by name and the strategy does not declare is NaN for ever: a warning says so, and where."""
    mine = "class Mine(tl.CustomFeature):\n    x: tl.int64\n    def update(self, market):\n        return market.features[tl.Feature.MID]\n"
    cls = strategy(tmp_path, body, mine)
    with pytest.warns(UserWarning, match=r"\.py:\d+: S reads features\[Feature.MID\], which it does not declare"):
        tl.Backtest(session, tick_size="0.25", multiplier=50, engine=engine).run(cls())
    cls.features = (tl.Feature.MID,)
    uses.check_class(cls)


@pytest.mark.nojit
@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("fill.side == 'B'", "S compares side with 'B', which it never equals: it is a member of tl.Side"),
        ("'buy' != fill.side", "S compares side with 'buy'"),
        ("fill.rule in ('behind', 'crossing')", "S compares rule with ('behind', 'crossing'), which it never equals: it is a member of tl.FillRule"),
        ("fill.side == tl.Side.BID and fill.rule in (1, 2)", None),
        ("self.n == 3", None),
        ("('', 'behind', 'through', 'crossing', 'auction', 'taking')[fill.rule] == 'crossing'", None),
    ],
)
def test_comparisons_with_text_are_told(tmp_path: Path, session: Path, condition: str, said: str | None) -> None:
    """A side, a reason and the like is a number: to compare it with text compiles, and is never true. A warning says so, and where."""
    cls = strategy(tmp_path, f"def on_fill(self, fill, market, orders, account):\n    if {condition}:\n        self.n = 1")
    backtest = tl.Backtest(session, tick_size="0.25", multiplier=50)
    if said is None:
        backtest.run(cls())
    else:
        with pytest.warns(UserWarning, match=rf"\.py:8: {re.escape(said)}"):
            backtest.run(cls())


@pytest.mark.nojit
def test_updates_that_never_come_are_told(tmp_path: Path, session: Path) -> None:
    """Fills come to `on_fill`: an `on_order` that waits for Update.FILL is run, with a warning; one that looks for other updates, without."""
    body = "def on_order(self, update, market, orders, account):\n    if update.what == tl.Update.{}:\n        self.n = 1"
    backtest = tl.Backtest(session, tick_size="0.25", multiplier=50)
    with pytest.warns(UserWarning, match=r"\.py:8: S looks for Update.FILL, which no update is: fills come to on_fill"):
        backtest.run(strategy(tmp_path, body.format("FILL"))())
    backtest.run(strategy(tmp_path, body.format("ACCEPTED"))())


@pytest.mark.nojit
def test_a_timer_that_calls_nobody_is_told(tmp_path: Path, session: Path) -> None:
    """A class that asks to be woken, and has no `on_timer`, is run, with a warning; one that has it, without."""
    body = "def on_trade(self, trade, market, orders, account):\n    orders.wake_at(orders.now + 1)"
    backtest = tl.Backtest(session, tick_size="0.25", multiplier=50)
    with pytest.warns(UserWarning, match=r"\.py:8: S calls wake_at, and has no on_timer for it to call"):
        backtest.run(strategy(tmp_path, body)())
    backtest.run(strategy(tmp_path, f"{body}\ndef on_timer(self, market, orders, account):\n    self.n += 1")())


@pytest.mark.nojit
@pytest.mark.parametrize("engine", ["compiled", "reference"])
@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("pass", "S has no callback, so that it does nothing: there are on_start, on_book, on_trade"),
        ("def helper(self, x):\n    return x", "so that it does nothing: there are on_start"),
        ("def onBook(self, market, orders, account):\n    pass", "so that it does nothing: is its method onBook meant as on_book?"),
    ],
)
def test_a_class_without_callbacks_is_told(tmp_path: Path, session: Path, body: str, said: str, engine: str) -> None:
    """A strategy of which nothing is ever called is run, with a warning that says so, and which method was probably meant as a callback."""
    with pytest.warns(UserWarning, match=re.escape(said)):
        tl.Backtest(session, tick_size="0.25", multiplier=50, engine=engine).run(strategy(tmp_path, body)())


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("features = tl.Feature.MID", "expected members of tl.Feature"),
        ("features = ('mid',)", "expected members of tl.Feature"),
        ("signals = ('skew')", "expected at most 64 names, such as"),
        ("signals = tuple(map(str, range(65)))", "expected at most 64 names"),
        ("def __init__(self, size):\n    self.n = size", "S.__init__: fields have defaults, or are given by name"),
        ("prices: list", "field 'prices' is <class 'list'>: expected a number"),
        ("names: dict[str, int]", r"field 'names' is dict[str, int]: expected a number"),
        ("flags: (tl.bool_, (2,))", "field 'flags' is an array of bool_"),
    ],
)
def test_a_class_that_makes_no_sense_is_named(tmp_path: Path, body: str, said: str) -> None:
    """Class attributes of another kind, fields that no structure holds and `__init__`, which rows never call, are told when the class is made."""
    with pytest.raises(tl.ConfigError, match=re.escape(said)):
        strategy(tmp_path, body)


@pytest.mark.nojit
@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("def on_bok(self, market, orders, account):\n    pass", "S.on_bok is no callback; did you mean on_book?"),
        ("def on_zzz(self, market):\n    pass", "S.on_zzz is no callback: there are on_start, on_book"),
        ("def on_stop(self, market, orders, account):\n    pass", "S.on_stop is no callback: there are on_start, on_book"),
        ("def on_book(self, market, orders):\n    pass", "S.on_book(self, market, orders): expected on_book(self, market, orders, account)"),
        ("def on_fill(self, market, fill, orders, account):\n    pass", "expected on_fill(self, fill, market, orders, account)"),
        ("async def on_book(self, market, orders, account):\n    pass", "S.on_book: a callback is called, and no more: it cannot be async, or have a yield"),
        ("def on_book(self, market, orders, account):\n    yield 1", "it cannot be async, or have a yield"),
    ],
)
def test_wrong_callbacks_are_named(tmp_path: Path, session: Path, body: str, said: str) -> None:
    """A method named like a callback that is none, a callback with other parameters or in another order, or one that would never run, are told at once."""
    cls = strategy(tmp_path, body)
    for engine in ("compiled", "reference"):
        with pytest.raises(CompileError, match=re.escape(said)) as error:
            tl.Backtest(session, tick_size="0.25", multiplier=50, engine=engine).run(cls())
        assert str(error.value).startswith(str(tmp_path))
        assert ".py:7: " in str(error.value)


def test_a_callback_is_a_method(tmp_path: Path, session: Path) -> None:
    """What has the name of a callback and cannot be called is told; None takes away one that a base has."""
    with pytest.raises(CompileError, match=re.escape("S.on_trade is 5: expected a method, def on_trade(self, trade, market, orders, account)")):
        tl.Backtest(session, tick_size="0.25", multiplier=50, engine="reference").run(strategy(tmp_path, "on_trade = 5")())


def test_other_names_of_parameters_are_fine(tmp_path: Path) -> None:
    """Parameters go by place: `def on_book(self, m, o, a)` is a callback."""
    uses.check_signatures(strategy(tmp_path, "def on_book(self, m, o, a):\n    pass"))
