"""Accounts at the end of a run: per row and instrument, and per row and currency. All money is in `currency`, average price and mark are prices.

Columns: strategy, row, symbol (null: all of the currency), currency, position (lots), average_price (null when flat), mark, realised and unrealised PnL
(without fees), fees_maker and fees_taker (negative: rebates), gross = realised + unrealised = cash + position × mark, net = gross − fees. `mark` is null before
a mid was seen, and `unrealised` is 0 then.
"""

from collections.abc import Mapping
from typing import Final

import polars as pl

from tapeline.frames import Contract

MONEY: Final = ("realised", "unrealised", "fees_maker", "fees_taker", "gross", "net")
_COLUMNS: Final = ("strategy", "row", "symbol", "currency", "position", "average_price", "mark", *MONEY)


def accounts_frame(equity: pl.DataFrame, fills: pl.DataFrame, contracts: Mapping[str, Contract]) -> pl.DataFrame:
    """One line per row and instrument, of its last sample; then, where a row has several instruments, one per currency, summed."""
    cell = ["row", "symbol"]
    fee = pl.col("fee")
    paid = fills.group_by(cell).agg(fees_maker=fee.filter(pl.col("is_maker")).sum(), fees_taker=fee.filter(~pl.col("is_maker")).sum())
    last = (
        equity.group_by(cell)
        .last()
        .sort(cell)
        .join(paid, on=cell, how="left", maintain_order="left")
        .with_columns(pl.col("fees_maker", "fees_taker").fill_null(0.0))
    )
    currency = {symbol: contract.currency for symbol, contract in contracts.items()}
    single = last.with_columns(currency=pl.col("symbol").cast(pl.String).replace_strict(currency, return_dtype=pl.String)).select(_COLUMNS)
    total = single.group_by("strategy", "row", "currency", maintain_order=True).agg(pl.col(MONEY).sum(), n=pl.len()).filter(pl.col("n") > 1).drop("n")
    return pl.concat([single, total], how="diagonal")
