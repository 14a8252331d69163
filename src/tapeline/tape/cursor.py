"""A Cursor in registers."""

from typing import Any

import numpy as np
from numba.core import cgutils

from tapeline.jit import leaf
from tapeline.memory import compiled_as


def _local(_context: Any, dtype: Any) -> Any:
    record = dtype.dtype

    def codegen(context: Any, builder: Any, _signature: Any, _args: Any) -> Any:
        return cgutils.alloca_once(builder, context.get_data_type(record))

    return record(dtype), codegen


@compiled_as(_local)
def local(dtype: Any) -> Any:
    """A Cursor of the calling function's own.

    Where only inlined functions see it, LLVM keeps its fields in registers; in memory, every store to a tape event would have to be taken for a change of them.
    """
    return np.zeros(1, dtype)[0]


@leaf
def move(to, source):
    """Copy a cursor, field by field."""
    to.position = source.position
    to.out = source.out
    to.stamp = source.stamp
    to.source = source.source
