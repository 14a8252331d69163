"""Settings are checked where they are given: what is no setting of its kind is named, with what was expected."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

import tapeline as tl
from tapeline.errors import ConfigError

WITHOUT_UNIT = np.array([5], "m8[ns]").view("m8")[0]
"""As `np.timedelta64(5)`, of which NumPy warns from 2.5 on."""


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: tl.FillRules(crossing="off"), r"crossing='off'\): expected True or False"),
        (lambda: tl.FillRules(auction=0), r"auction=0\): expected True or False"),
        (lambda: tl.Fees(maker="0.2"), r"maker='0.2'\): expected a finite number"),
        (lambda: tl.Fees(taker=True), r"taker=True\): expected a finite number"),
        (lambda: tl.Limits(loss_max="5000"), r"loss_max='5000'\): expected an amount"),
        (lambda: tl.Row(None, label=3), r"label=3\): expected text"),
        (lambda: tl.Row(None, latency="5us"), r"latency='5us': expected a tapeline.Latency, such as tl.Latency\(entry="),
    ],
)
def test_values_of_another_kind_are_refused(make: Any, message: str) -> None:
    """Text that Python would take for true, numbers as text, and numbers in place of a setting's class are ConfigErrors that name them."""
    with pytest.raises(ConfigError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: tl.Fees(make=0.2), r"Fees\(make=…\): there is no such setting; did you mean 'maker'\?"),
        (lambda: tl.Latency(entries=1), r"Latency\(entries=…\): there is no such setting; did you mean 'entry'\?"),
        (lambda: tl.Limits(zzz=1), r"Limits\(zzz=…\): there is no such setting; there are: order_size_max, position_max"),
        (lambda: tl.Row(None, fee=1), r"Row\(fee=…\): there is no such setting; did you mean 'fees'\?"),
        (lambda: tl.Backtest("any.dbn", ticksize=0.25), r"Backtest\(ticksize=…\): there is no such setting; did you mean 'tick_size'\?"),
        (lambda: tl.depth("any.dbn", level=5), r"depth\(level=…\): there is no such setting; did you mean 'levels'\?"),
        (lambda: tl.features("any.dbn", interval=5), r"features\(interval=…\): there is no such setting; there are: data, which, every"),
        (lambda: tl.depth_chunks("any.dbn", ticksize=1), r"depth_chunks\(ticksize=…\): there is no such setting; did you mean 'tick_size'\?"),
        (lambda: tl.features_chunks("any.dbn", ticksize=1), r"features_chunks\(ticksize=…\): there is no such setting; did you mean 'tick_size'\?"),
        (lambda: tl.write_tape("any.dbn", "x.tape", instrument="A"), r"write_tape\(instrument=…\): there is no such setting; did you mean 'instruments'\?"),
    ],
)
def test_names_that_no_setting_has_are_told(make: Any, message: str) -> None:
    """With the name that is like it, or with those that there are: Python's own TypeError has neither."""
    with pytest.raises(ConfigError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: tl.FillRules(queue=np.array(["exact", "none"])), r"FillRules\(queue=array.*: expected 'none', 'exact', .* or 'front_optimistic'"),
        (lambda: tl.Fees(unit=None), r"Fees\(unit=None\): expected 'contract' or 'bps'"),
        (lambda: tl.Delay.interpolated([1, 2], 5), r"Delay\.interpolated\(delays=5\): expected a list of them"),
        (lambda: tl.Delay.interpolated("12", [1, 2]), r"Delay\.interpolated\(times='12'\): expected a list of them"),
        (lambda: tl.Latency.from_table(None), r"table None: expected the path of a \.parquet or \.csv file"),
        (lambda: tl.Result.load(7), r"directory=7: expected the path of a file"),
        (lambda: tl.write_dbn("any.csv", None), r"output=None: expected the path of a file"),
        (lambda: tl.depth_chunks("any.dbn", ticksize=1), r"depth_chunks\(ticksize=…\): there is no such setting; did you mean 'tick_size'\?"),
        (lambda: tl.features_chunks("any.dbn", ticksize=1), r"features_chunks\(ticksize=…\): there is no such setting; did you mean 'tick_size'\?"),
        (lambda: tl.write_tape("any.dbn", "a\0b"), r"output='a\\x00b': expected the path of a file"),
        (lambda: tl.Backtest(["any\0.dbn"]), r"data='any\\x00\.dbn': expected the path of a file"),
        (lambda: tl.replay_orders(5), r"order log: expected a polars frame, or what makes one, not int"),
        (lambda: tl.heatmap("any.dbn", 0, 2**70), r"end=1180591620717411303424: expected a time such as"),
    ],
)
def test_what_is_given_in_place_of_text_paths_and_lists_is_told(make: Any, message: str) -> None:
    """Whatever the kind of what is given, the setting is named, with what was expected."""
    with pytest.raises(ConfigError, match=message):
        make()


@pytest.mark.parametrize(("name", "value"), [("fees", 0.2), ("latency", "100us"), ("latency", {"ESH4": 5}), ("rules", "exact"), ("limits", 10)])
def test_a_backtest_says_what_its_settings_are(name: str, value: Any) -> None:
    """A bare number, text or mapping in the place of Fees, Latency, FillRules or Limits is answered with an example of what goes there."""
    with pytest.raises(ConfigError, match=rf"^{name}=.*: expected a tapeline\.\w+, such as tl\.\w+\("):
        tl.Backtest("any.dbn", **{name: value})


@pytest.mark.parametrize(("fees", "said"), [({"maker": 0.2}, r"fees\['maker'\]=0.2"), ({"ESH4": tl.Fees(), 7: None}, r"fees\[7\]=None")])
def test_fees_of_an_instrument_are_fees(fees: Any, said: str) -> None:
    """In a mapping stands a tl.Fees for each instrument: its fields, or nothing, are told from instruments by that."""
    for take in (lambda: tl.Backtest("any.dbn", fees=fees), lambda: tl.Row(None, fees=fees)):
        with pytest.raises(ConfigError, match=rf"^{said}: expected a tapeline\.Fees, such as tl\.Fees\("):
            take()


@pytest.mark.parametrize("duration", ["1500us", 1_500_000, timedelta(microseconds=1_500), np.timedelta64(1_500, "us"), np.timedelta64(60, "25us")])
def test_durations_have_one_meaning_wherever_they_are_taken(duration: Any) -> None:
    """Text, whole nanoseconds and timedeltas of Python and NumPy say the same of a latency, a delay, a sampling interval and a gap."""
    same = tl.Latency(feed=1_500_000, entry=1_500_000, messages_per=1_500_000)
    assert tl.Latency(feed=duration, entry=duration, messages_per=duration) == same
    assert tl.Delay.gamma(mean=duration, shape=2, shift=duration) == tl.Delay.gamma(mean=1_500_000, shape=2, shift=1_500_000)
    assert tl.Delay.interpolated([1], [duration]) == tl.Delay.interpolated([1], [1_500_000])
    assert tl.Backtest("any.dbn", equity_every=duration).equity_every_ns == 1_500_000


@pytest.mark.parametrize(
    "duration",
    [timedelta(days=-1), WITHOUT_UNIT, np.timedelta64("NaT", "s"), np.timedelta64(1, "M"), np.timedelta64(7, "ps"), np.timedelta64(10**9, "D"), 1.5],
)
def test_what_is_no_duration_is_refused(duration: Any) -> None:
    """What is negative, without a unit, of months or finer than the clocks, or too long, is a ConfigError that names the setting and what it was given."""
    with pytest.raises(ConfigError, match=r"^Latency\(response\)=.*: expected nanoseconds as an integer ≥ 0, text such as '100us', or a timedelta"):
        tl.Latency(response=duration)
    with pytest.raises(ConfigError, match=r"^equity_every="):
        tl.Backtest("any.dbn", equity_every=duration)


def test_a_timedelta_is_no_count() -> None:
    """NumPy calls its timedeltas whole numbers; a number of messages is none, nor is a time of a table text."""
    with pytest.raises(ConfigError, match=r"messages_max=np.timedelta64\(5,'s'\)\): expected an integer"):
        tl.Latency(messages_max=np.timedelta64(5, "s"))
    with pytest.raises(ConfigError, match=r"Delay.interpolated: expected times and delays as whole nanoseconds"):
        tl.Delay.interpolated(["09:30"], [5])


def test_numbers_of_other_types_are_numbers() -> None:
    """Settings swept over arrays, and decimals, are as those of Python's own numbers, and as equal."""
    n = np.int64(5)
    assert tl.Latency(entry=n, messages_max=n) == tl.Latency(entry=5, messages_max=5)
    assert tl.Limits(position_max=n, loss_max=np.float64(7)) == tl.Limits(position_max=5, loss_max=7.0)
    assert repr(tl.Fees(maker=np.float64(0.5), taker=np.int64(1))) == repr(tl.Fees(maker=0.5, taker=Decimal(1)))
    assert tl.Delay.gamma(mean=n, shape=np.float32(2), seed=n) == tl.Delay.gamma(mean=5, shape=2, seed=5)
