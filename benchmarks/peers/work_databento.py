"""Databento's own ways to read DBN: one Python object per record, decoded at once, and as an array. No books: none of them has one."""

import sys
from pathlib import Path
from typing import Any

from databento import DBNStore
from databento_dbn import DBNDecoder
from serve import serve

PATH = Path(sys.argv[1]) / "stream.dbn"
PIECE = 1 << 20


def iterate() -> dict[str, Any]:
    """A loop over a DBNStore, which looks at one field."""
    total = 0
    for record in DBNStore.from_file(PATH):
        total += record.size
    return {"lots": total}


def decode() -> dict[str, Any]:
    """The decoder that live clients use, fed piece by piece."""
    decoder, total = DBNDecoder(), 0
    with PATH.open("rb") as file:
        while piece := file.read(PIECE):
            decoder.write(piece)
            total += len(decoder.decode())
    return {"decoded": total}


def array() -> dict[str, Any]:
    """The whole file as a NumPy array, and the sum of one column."""
    return {"lots": int(DBNStore.from_file(PATH).to_ndarray()["size"].sum())}


serve(["databento", "databento-dbn"], {"iteration of DBNStore": iterate, "DBNDecoder": decode, "to_ndarray": array})
