"""Flat memory by address, for kernels: capacities stay out of types, so that nothing is compiled again for another size.

Every function here works compiled and, with the JIT off, as plain Python on the same addresses.
"""

import ctypes
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from tapeline.jit import JIT


@intrinsic
def _pointer(_context: Any, _address: Any) -> Any:
    return types.voidptr(types.int64), lambda _c, builder, _s, args: builder.inttoptr(args[0], cgutils.voidptr_t)


@intrinsic
def _record_at(_context: Any, _address: Any, _index: Any, dtype: Any) -> Any:
    record = dtype.dtype

    def codegen(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        place = builder.add(args[0], builder.mul(args[1], ir.Constant(args[1].type, record.size)))
        return builder.inttoptr(place, context.get_value_type(record))

    return record(types.int64, types.int64, dtype), codegen


@intrinsic
def _prefetch(_context: Any, _address: Any) -> Any:
    def codegen(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        byte_pointer, i32 = ir.IntType(8).as_pointer(), ir.IntType(32)
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(ir.VoidType(), [byte_pointer, i32, i32, i32]), "llvm.prefetch.p0")
        for_writing, keep_in_all_levels, data = (ir.Constant(i32, n) for n in (1, 3, 1))
        builder.call(function, [builder.inttoptr(args[0], byte_pointer), for_writing, keep_in_all_levels, data])
        return context.get_dummy_value()

    return types.void(types.int64), codegen


@intrinsic
def _copy(_context: Any, _to: Any, _source: Any, _n: Any) -> Any:
    def codegen(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        byte_pointer = ir.IntType(8).as_pointer()
        cgutils.raw_memcpy(builder, builder.inttoptr(args[0], byte_pointer), builder.inttoptr(args[1], byte_pointer), args[2], 1)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), codegen


@intrinsic
def _address(_context: Any, record: Any) -> Any:
    return types.int64(record), lambda _c, builder, _s, args: builder.ptrtoint(args[0], ir.IntType(64))


@intrinsic
def _load_u64(_context: Any, _place: Any) -> Any:
    def codegen(_c: Any, builder: Any, _s: Any, args: Any) -> Any:
        return builder.load(builder.inttoptr(args[0], ir.IntType(64).as_pointer()), align=1)

    return types.uint64(types.int64), codegen


@intrinsic
def _call_pointer(_context: Any, _function: Any, record: Any) -> Any:
    """Call a compiled function of one record by address: it is neither typed nor linked again."""

    def codegen(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        function_type = context.call_conv.get_function_type(types.int64, (record,))
        pointer = builder.inttoptr(args[0], function_type.as_pointer())
        status, result = context.call_conv.call_function(builder, pointer, types.int64, (record,), [args[1]])
        with cgutils.if_unlikely(builder, status.is_error):
            context.call_conv.return_status_propagate(builder, status)
        return result

    return types.int64(types.int64, record), codegen


def view(address: int, n: int, dtype: Any) -> Any:
    """The `n` records or numbers that lie at `address`, as an array that owns nothing."""
    size = int(n) * np.dtype(dtype).itemsize
    return np.ndarray((int(n),), dtype, (ctypes.c_char * size).from_address(int(address)))


def record_at(address: int, index: int, dtype: Any) -> Any:
    """Record number `index` of those of `dtype` at `address`, by reference."""
    return view(int(address) + int(index) * dtype.itemsize, 1, dtype)[0]


def prefetch(address: int) -> None:
    """Ask for the cache line at `address`, to be written."""


def copy(to: int, source: int, n: int) -> None:
    """Copy `n` bytes; the two places do not overlap."""
    ctypes.memmove(int(to), int(source), int(n))


def address_of(record: Any) -> int:
    """Where a record lies."""
    return int(record.__array_interface__["data"][0])


def load_u64(place: int) -> Any:
    """The eight bytes at `place`, which need not be aligned."""
    return np.uint64(ctypes.c_uint64.from_address(int(place)).value)


if JIT:  # the twins must have the very signature of what they return: no annotations

    @overload(view)
    def _(address, n, dtype):
        return lambda address, n, dtype: numba.carray(_pointer(address), n, dtype)

    @overload(record_at)
    def _(address, index, dtype):
        return lambda address, index, dtype: _record_at(address, index, dtype)

    @overload(prefetch)
    def _(address):
        return lambda address: _prefetch(address)

    @overload(copy)
    def _(to, source, n):
        return lambda to, source, n: _copy(to, source, n)

    @overload(address_of)
    def _(record):
        return lambda record: _address(record)

    @overload(load_u64)
    def _(place):
        return lambda place: _load_u64(place)


def function_address(dispatcher: Any, record_type: Any) -> int:
    """Compile a kernel of one record (returning int64) and give its address."""
    dispatcher.compile((record_type,))
    result = dispatcher.overloads[record_type,]
    return int(result.library.get_pointer_to_function(result.fndesc.llvm_func_name))


call_pointer = _call_pointer
