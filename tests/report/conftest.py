"""A result to make pages of."""

import pytest

from tapeline.backtest import Backtest
from tapeline.config import Fees
from tapeline.demo import example
from tapeline.feeds.synth import SynthConfig, write_synth
from tapeline.load import load_strategy
from tapeline.result import Result


@pytest.fixture(scope="session")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """A maker and a taker on a simulated session, whose file stays until the tests end."""
    data = tmp_path_factory.mktemp("data") / "session.dbn"
    write_synth(data, SynthConfig(records=30_000, live_orders=500, tick="0.25", seed=3))
    maker, taker = (load_strategy(f"{example(file)}:{name}") for file, name in (("touch_maker", "TouchMaker"), ("ofi_taker", "OrderFlowTaker")))
    backtest = Backtest(data, tick_size="0.25", multiplier=50, latency=maker.latency, fees=Fees(maker=0.2, taker=1.2))
    return backtest.run(maker(size=2), taker())
