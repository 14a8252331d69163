"""The demonstration: a simulated session, a market maker and a taker on it."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from tapeline.config import Fees
from tapeline.files import shipped
from tapeline.load import load_strategy
from tapeline.result import Result

FEES: Final = Fees(maker=0.2, taker=1.2)
"""Of the order of what CME members pay for E-mini futures; currency per lot."""
MULTIPLIER: Final = 50.0
TICK: Final = "0.25"
NEXT_STEPS: Final = """
The market was simulated, so the numbers mean nothing; on data of your own:
  tapeline check DATA.dbn.zst
  tapeline run examples/touch_maker.py:TouchMaker DATA.dbn.zst --tick-size 0.25 --multiplier 50
How to write strategies and read results: docs/guide.md"""


def run_demo(records: int, report: Path, progress: Callable[[Any], None] | None) -> Result:
    """Simulate a session of `records` records, run TouchMaker and OrderFlowTaker on it, with latencies of 100 µs each way, and write the report.

    The session is gone afterwards: what statistics need of it, the report has read.
    """
    from tapeline.backtest import Backtest  # noqa: PLC0415 - imports Numba
    from tapeline.feeds.synth import SynthConfig, write_synth  # noqa: PLC0415 - same

    maker, taker = (load_strategy(f"{example(file)}:{name}") for file, name in (("touch_maker", "TouchMaker"), ("ofi_taker", "OrderFlowTaker")))
    with tempfile.TemporaryDirectory(prefix="tapeline-demo-") as folder:
        data = Path(folder) / "session.dbn"
        write_synth(data, SynthConfig(records=records, seed=1, tick=TICK))
        backtest = Backtest(data, tick_size=TICK, multiplier=MULTIPLIER, latency=maker.latency, fees=FEES)
        result: Result = backtest.run(maker(), taker(), progress=progress)
        result.report(report, "Tapeline demo: a simulated session")
    return result


def example(name: str) -> Path:
    """The path of an example strategy."""
    return shipped(f"examples/{name}.py")
