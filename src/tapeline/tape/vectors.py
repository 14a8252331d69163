"""What reading a tape takes time for, in vectors, which LLVM does not make of it by itself: sums of words in lanes, and rows out of columns."""

from typing import Any, Final

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from tapeline.memory import compiled_as, copy, view

LINE_BYTES: Final = 128
_LANES: Final = LINE_BYTES // 8
_MULTIPLIER: Final = 0x7F4A7C15
_I64 = ir.IntType(64)


def _polynomial(_context: Any, _address: Any, _lines: Any) -> Any:
    line = ir.VectorType(_I64, _LANES)

    def codegen(_c: Any, builder: Any, _s: Any, args: Any) -> Any:
        multiplier, shift = ir.Constant(_I64, _MULTIPLIER), ir.Constant(_I64, 32)
        lanes = cgutils.alloca_once_value(builder, ir.Constant(line, [ir.Constant(_I64, 1)] * _LANES))
        first = builder.inttoptr(args[0], line.as_pointer())
        with cgutils.for_range(builder, args[1]) as loop:
            grown = builder.mul(builder.load(lanes), ir.Constant(line, [multiplier] * _LANES))
            builder.store(builder.add(grown, builder.load(builder.gep(first, [loop.index]), align=8)), lanes)
        total: Any = ir.Constant(_I64, 0)
        for k in range(_LANES):
            lane = builder.extract_element(builder.load(lanes), ir.Constant(_I64, k))
            total = builder.add(builder.mul(total, multiplier), builder.xor(lane, builder.lshr(lane, shift)))
        return total

    return types.uint64(types.int64, types.int64), codegen


def _turn(_context: Any, _to: Any, _step: Any, _halves: Any, _half_step: Any, _singles: Any, _single_step: Any) -> Any:
    four, eight = ir.VectorType(ir.IntType(32), 4), ir.VectorType(ir.IntType(8), 4)

    def codegen(context: Any, builder: Any, _s: Any, args: Any) -> Any:
        to, step, halves, half_step, singles, single_step = args

        def place(first: Any, step: Any, k: int, kind: Any) -> Any:
            return builder.inttoptr(builder.add(first, builder.mul(step, ir.Constant(_I64, k))), kind.as_pointer())

        def pick(a: Any, b: Any, *which: int) -> Any:
            return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(ir.IntType(32), len(which)), which))

        def woven(a: Any, b: Any, bits: int) -> Any:
            return builder.bitcast(pick(a, b, 0, 4, 1, 5, 2, 6, 3, 7), ir.VectorType(ir.IntType(bits), 4))

        level, sequence, instrument = (builder.load(place(halves, half_step, k, four), align=4) for k in range(3))
        kind, flags, side, orders = (builder.load(place(singles, single_step, k, eight), align=1) for k in range(4))
        marks = woven(woven(kind, flags, 16), woven(side, orders, 16), 32)
        first, second = woven(level, sequence, 64), woven(instrument, marks, 64)
        for k in range(4):
            row = pick(first, second, k, 4 + k)
            builder.store(row, place(to, step, k, row.type), align=8)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 6), codegen


@compiled_as(_polynomial)
def polynomial(address: int, lines: int) -> Any:
    """A polynomial in an odd multiplier over 64-bit words, in sixteen lanes, modulo 2^64; `lines` of LINE_BYTES each.

    Any change of one word changes it for sure. A byte-wise CRC would take longer than all the rest of a replay; the multiplier has 32 bits because there are
    vector instructions for that everywhere.
    """
    lanes = np.ones(_LANES, np.uint64)
    for line in view(address, int(lines) * _LANES, np.uint64).reshape(-1, _LANES):
        lanes = lanes * np.uint64(_MULTIPLIER) + line
    total = np.uint64(0)
    for lane in lanes:
        total = total * np.uint64(_MULTIPLIER) + (lane ^ (lane >> np.uint64(32)))
    return total


@compiled_as(_turn)
def turn(to: int, step: int, halves: int, half_step: int, singles: int, single_step: int) -> None:  # noqa: PLR0913, PLR0917 - as memory.transpose
    """Four numbers of 4 bytes from three columns, and four bytes from four, as four rows of 16 bytes, which lie `step` bytes apart."""
    for row in range(4):
        for column in range(3):
            copy(to + row * step + 4 * column, halves + column * half_step + 4 * row, 4)
        for column in range(4):
            copy(to + row * step + 12 + column, singles + column * single_step + row, 1)
