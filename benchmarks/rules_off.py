"""What each fill rule is worth: two example strategies with each rule switched off in turn, over one file, as the table of docs/assumptions.md.

python benchmarks/rules_off.py esh4-20231225.mbo.dbn.zst
"""

import argparse
import dataclasses
import typing
from collections.abc import Iterator

import polars as pl

import tapeline as tl
from tapeline.load import load_strategy

STRATEGIES = ("examples/touch_maker.py:TouchMaker", "examples/ofi_taker.py:OrderFlowTaker")
FEES = tl.Fees(maker=0.85, taker=0.85)
COLUMNS = ("lots", "maker_share", "fees", "pnl_gross", "pnl_net")


def variants() -> Iterator[tuple[str, tl.FillRules]]:
    """The rules as they are, and each of them switched off, or to another choice."""
    yield "all rules", tl.FillRules()
    for field, kind in typing.get_type_hints(tl.FillRules).items():
        default = getattr(tl.FillRules(), field)
        for choice in (False, True) if kind is bool else typing.get_args(kind):
            if choice != default:
                yield f"`{field}={choice!r}`", dataclasses.replace(tl.FillRules(), **{field: choice})


def main() -> None:
    """Run everything in one replay, and print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--tick-size", default="0.25")
    parser.add_argument("--multiplier", type=float, default=50.0)
    given = parser.parse_args()
    classes = [load_strategy(name) for name in STRATEGIES]
    rules = dict(variants())
    rows = [tl.Row(cls(), rules=chosen, label=f"{cls.__name__}|{name}") for cls in classes for name, chosen in rules.items()]
    result = tl.Backtest(given.data, tick_size=given.tick_size, multiplier=given.multiplier, fees=FEES).run(*rows)
    stats = result.stats.frame.filter(pl.col("row").is_not_null())
    fills = dict(result.fills.group_by("row").len().iter_rows())
    print("| strategy | rules | fills | lots | maker | fees | gross PnL | net PnL |\n|---|---|---|---|---|---|---|---|")
    for line in stats.sort("row").iter_rows(named=True):
        strategy, name = line["strategy"].split("|")
        lots, share, fees, gross, net = (line[column] or 0 for column in COLUMNS)
        print(f"| {strategy} | {name} | {fills.get(line['row'], 0):,} | {lots:,} | {share:.1%} | {fees:,.2f} | {gross:,.2f} | {net:,.2f} |")


if __name__ == "__main__":
    main()
