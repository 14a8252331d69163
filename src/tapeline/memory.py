"""Flat memory by address, for kernels: capacities stay out of types, so that nothing is compiled again for another size.

Every function here works compiled and as plain Python, on the same addresses. Compiled, each is a few instructions in its caller: an `@overload` would be
a function of its own to compile for every dtype and integer type, which made up half of the time of the first compilation.
"""

import ctypes
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.core.extending import _Intrinsic
from numba.np.arrayobj import make_array, populate_array

from tapeline.jit import JIT, entry

_BYTE_POINTER = ir.IntType(8).as_pointer()
_I1, _I32, _I64 = ir.IntType(1), ir.IntType(32), ir.IntType(64)
_EXP = "exp_of_libm"
if JIT:
    binding.add_symbol(_EXP, ctypes.cast(ctypes.CDLL(None).exp, ctypes.c_void_p).value)


class _Both(_Intrinsic):  # type: ignore[misc]  # final in its annotations
    """An intrinsic that has a twin in plain Python."""

    def __init__(self, twin: Callable[..., Any], definition: Callable[..., Any]) -> None:
        super().__init__(twin.__name__, definition)
        self.twin = twin
        self.__doc__ = twin.__doc__

    def __call__(self, *args: Any) -> Any:
        return self.twin(*args)


def compiled_as(definition: Callable[..., Any]) -> Callable[[Callable[..., Any]], Any]:
    """Decorator for the twin in plain Python of an intrinsic, which `definition` defines."""

    def decorate(twin: Callable[..., Any]) -> Any:
        if not JIT:
            return twin
        both = _Both(twin, definition)
        both._register()
        return both

    return decorate


def _array_at(_context: Any, _address: Any, _n: Any, dtype: Any) -> Any:
    element = dtype.dtype if isinstance(dtype, (types.DType, types.NumberClass)) else dtype
    array_type = types.Array(element, 1, "C")

    def codegen(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        array = make_array(array_type)(context, builder)
        itemsize = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(element)))
        pointer = builder.inttoptr(args[0], array.data.type)
        shape, strides = (cgutils.pack_array(builder, [n]) for n in (args[1], itemsize))
        populate_array(array, data=pointer, shape=shape, strides=strides, itemsize=itemsize, meminfo=None)
        return array._getvalue()

    return array_type(types.int64, types.int64, dtype), codegen


def _record_at(_context: Any, _address: Any, _index: Any, dtype: Any) -> Any:
    record = dtype.dtype

    def codegen(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        place = builder.add(args[0], builder.mul(args[1], ir.Constant(_I64, record.size)))
        return builder.inttoptr(place, context.get_value_type(record))

    return record(types.int64, types.int64, dtype), codegen


def _prefetch(_context: Any, _address: Any) -> Any:
    def codegen(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        function_type = ir.FunctionType(ir.VoidType(), [_BYTE_POINTER, _I32, _I32, _I32])
        function = cgutils.get_or_insert_function(builder.module, function_type, "llvm.prefetch.p0")
        for_writing, keep_in_all_levels, data = (ir.Constant(_I32, n) for n in (1, 3, 1))
        builder.call(function, [builder.inttoptr(args[0], _BYTE_POINTER), for_writing, keep_in_all_levels, data])
        return context.get_dummy_value()

    return types.void(types.int64), codegen


def _copy(_context: Any, _to: Any, _source: Any, _n: Any) -> Any:
    def codegen(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        cgutils.raw_memcpy(builder, builder.inttoptr(args[0], _BYTE_POINTER), builder.inttoptr(args[1], _BYTE_POINTER), args[2], 1)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), codegen


def _write_past(_context: Any, _to: Any, _source: Any) -> Any:
    def codegen(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        to, source = (builder.inttoptr(address, ir.VectorType(_I64, 8).as_pointer()) for address in args)
        store = builder.store(builder.load(source, align=8), to, align=64)
        store.set_metadata("nontemporal", builder.module.add_metadata([ir.Constant(_I32, 1)]))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


def _transpose(_context: Any, _to: Any, _to_step: Any, _source: Any, _source_step: Any) -> Any:
    def codegen(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        to, to_step, source, source_step = args
        four = ir.VectorType(_I64, 4)

        def place(first: Any, step: Any, k: int) -> Any:
            return builder.inttoptr(builder.add(first, builder.mul(step, ir.Constant(_I64, k))), four.as_pointer())

        def pick(a: Any, b: Any, *which: int) -> Any:
            return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(_I32, 4), which))

        a, b, c, d = (builder.load(place(source, source_step, k), align=8) for k in range(4))
        even_ab, odd_ab, even_cd, odd_cd = pick(a, b, 0, 4, 2, 6), pick(a, b, 1, 5, 3, 7), pick(c, d, 0, 4, 2, 6), pick(c, d, 1, 5, 3, 7)
        turned = [pick(ab, cd, *half) for half in ((0, 1, 4, 5), (2, 3, 6, 7)) for ab, cd in ((even_ab, even_cd), (odd_ab, odd_cd))]
        for k, row in enumerate(turned):
            builder.store(row, place(to, to_step, k), align=8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64, types.int64), codegen


def _raise_pair(_context: Any, _to: Any, _source: Any) -> Any:
    pair = ir.VectorType(_I64, 2)

    def codegen(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        to, source = (builder.inttoptr(address, pair.as_pointer()) for address in args)
        now, new = builder.load(to, align=8), builder.load(source, align=8)
        greater = builder.select(builder.icmp_signed(">", new, now), new, now)
        # unseen, or LLVM makes a masked store of it where there is no vector maximum: on a Zen 3, from which nothing is forwarded, 5 % of a whole run
        builder.store(builder.asm(ir.FunctionType(pair, [pair]), "", "=x,0", [greater], side_effect=False), to, align=8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


def _repeat(_context: Any, _to: Any, _source: Any) -> Any:
    def codegen(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        eight = ir.VectorType(_I64, 8)
        word = builder.load(builder.inttoptr(args[1], _I64.as_pointer()), align=8)
        first = builder.insert_element(ir.Constant(eight, ir.Undefined), word, ir.Constant(_I32, 0))
        same = builder.shuffle_vector(first, first, ir.Constant(ir.VectorType(_I32, 8), [0] * 8))
        builder.store(same, builder.inttoptr(args[0], eight.as_pointer()), align=8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


def _address_of(_context: Any, record: Any) -> Any:
    return types.int64(record), lambda _c, builder, _s, args: builder.ptrtoint(args[0], _I64)


def _load_u64(_context: Any, _place: Any) -> Any:
    def codegen(_c: Any, builder: Any, _s: Any, args: Any) -> Any:
        return builder.load(builder.inttoptr(args[0], _I64.as_pointer()), align=1)

    return types.uint64(types.int64), codegen


def _ten_filled(_context: Any, _last: Any) -> Any:
    def codegen(_c: Any, builder: Any, _s: Any, args: Any) -> Any:
        pair = ir.VectorType(_I64, 4)
        empty: Any = ir.Constant(ir.VectorType(ir.IntType(1), 4), [ir.Constant(ir.IntType(1), 0)] * 4)
        for k in range(1, 10, 2):
            words = builder.load(builder.inttoptr(builder.sub(args[0], ir.Constant(_I64, 16 * k)), pair.as_pointer()), align=8)
            empty = builder.or_(empty, builder.icmp_signed("==", words, ir.Constant(pair, [ir.Constant(_I64, 0)] * 4)))
        return builder.and_(builder.zext(builder.bitcast(empty, ir.IntType(4)), _I64), ir.Constant(_I64, 5))

    return types.int64(types.int64), codegen


def _filled(_context: Any, _last: Any) -> Any:
    def codegen(_c: Any, builder: Any, _s: Any, args: Any) -> Any:
        first = builder.sub(args[0], ir.Constant(_I64, 16 * 15))
        words = builder.load(builder.inttoptr(first, ir.VectorType(_I64, 32).as_pointer()), align=8)
        numbers = builder.shuffle_vector(words, words, ir.Constant(ir.VectorType(_I32, 16), [ir.Constant(_I32, k) for k in range(30, -1, -2)]))
        bits = builder.bitcast(builder.icmp_signed("!=", numbers, ir.Constant(numbers.type, [ir.Constant(_I64, 0)] * 16)), ir.IntType(16))
        return builder.zext(bits, _I64)

    return types.int64(types.int64), codegen


def _first_bit(_context: Any, _bits: Any) -> Any:
    return types.int64(types.int64), lambda _c, builder, _s, args: builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))


def _count_bits(_context: Any, _bits: Any) -> Any:
    return types.int64(types.int64), lambda _c, builder, _s, args: builder.ctpop(args[0])


def _unseen(_context: Any, _value: Any) -> Any:
    def codegen(_c: Any, builder: Any, _s: Any, args: Any) -> Any:
        return builder.asm(ir.FunctionType(_I64, [_I64]), "", "=r,0", args, side_effect=False)

    return types.int64(types.int64), codegen


def _unlikely(_context: Any, _condition: Any) -> Any:
    def codegen(_c: Any, builder: Any, _s: Any, args: Any) -> Any:
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(_I1, [_I1, _I1]), "llvm.expect.i1")
        return builder.call(function, [args[0], ir.Constant(_I1, 0)])

    return types.boolean(types.boolean), codegen


def _exp(_context: Any, _x: Any) -> Any:
    def codegen(_c: Any, builder: Any, _s: Any, args: Any) -> Any:
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(ir.DoubleType(), [ir.DoubleType()]), _EXP)
        return builder.call(function, args)

    return types.float64(types.float64), codegen


def _call(context: Any, builder: Any, record: Any, address: Any, value: Any) -> Any:
    """Call the compiled function of one record at an address; it returns an int64, through the place that Numba's functions are given first.

    It raises nothing, so there is no exception to look at: that, and clearing both places before, took six instructions of sixteen.
    """
    function_type = context.call_conv.get_function_type(types.int64, (record,))
    with builder.goto_entry_block():
        result = builder.alloca(function_type.args[0].pointee)
    nobody = ir.Constant(function_type.args[1], None)
    builder.call(builder.inttoptr(address, function_type.as_pointer()), [result, nobody, value])
    return builder.load(result)


@compiled_as(_array_at)
def view(address: int, n: int, dtype: Any) -> Any:
    """The `n` records or numbers that lie at `address`, as an array that owns nothing."""
    size = int(n) * np.dtype(dtype).itemsize
    return np.ndarray((int(n),), dtype, (ctypes.c_char * size).from_address(int(address)))


@compiled_as(_record_at)
def record_at(address: int, index: int, dtype: Any) -> Any:
    """Record number `index` of those of `dtype` at `address`, by reference."""
    return np.ndarray((1,), dtype, (ctypes.c_char * dtype.itemsize).from_address(int(address) + int(index) * dtype.itemsize))[0]


@compiled_as(_prefetch)
def prefetch(address: int) -> None:
    """Ask for the cache line at `address`, to be written."""


@compiled_as(_copy)
def copy(to: int, source: int, n: int) -> None:
    """Copy `n` bytes; the two places do not overlap."""
    ctypes.memmove(int(to), int(source), int(n))


@compiled_as(_write_past)
def write_past(to: int, source: int) -> None:
    """Copy 64 bytes to a whole cache line, past the caches, which need not fetch it first. The next lock that is taken or left orders it with other stores."""
    copy(to, source, 64)


@compiled_as(_transpose)
def transpose(to: int, to_step: int, source: int, source_step: int) -> None:
    """Four numbers of 8 bytes of each of four rows, which lie `source_step` bytes apart, as the rows of four columns."""
    for row in range(4):
        for column in range(4):
            copy(to + column * to_step + 8 * row, source + row * source_step + 8 * column, 8)


@compiled_as(_raise_pair)
def raise_pair(to: int, source: int) -> None:
    """Let neither of the two int64 at `to` be less than the one at `source`."""
    for offset in (0, 8):
        place = ctypes.c_int64.from_address(int(to) + offset)
        place.value = max(place.value, ctypes.c_int64.from_address(int(source) + offset).value)


@compiled_as(_repeat)
def repeat(to: int, source: int) -> None:
    """Let the eight numbers of 8 bytes from `to` on be the one at `source`."""
    for k in range(8):
        copy(to + 8 * k, source, 8)


@compiled_as(_address_of)
def address_of(record: Any) -> int:
    """Where a record lies."""
    return int(np.frombuffer(record, np.uint8).ctypes.data)  # a record's __array_interface__ spells out all its fields: 0.5 ms for an engine's


@compiled_as(_load_u64)
def load_u64(place: int) -> Any:
    """The eight bytes at `place`, which need not be aligned."""
    return np.uint64(ctypes.c_uint64.from_address(int(place)).value)


@compiled_as(_ten_filled)
def ten_filled(last: int) -> Any:
    """0 if none of ten numbers is 0 that lie 16 bytes apart, the last at an address."""
    return np.int64(filled(last) & 1023 != 1023)


@compiled_as(_filled)
def filled(last: int) -> Any:
    """Which of sixteen numbers that lie 16 bytes apart are not 0: a bit each, the lowest for the last, which is at an address."""
    return np.int64(sum(1 << k for k in range(16) if ctypes.c_int64.from_address(int(last) - 16 * k).value != 0))


@compiled_as(_first_bit)
def first_bit(bits: int) -> Any:
    """The number of the lowest bit that is set; there is one."""
    return np.int64((int(bits) & -int(bits)).bit_length() - 1)


@compiled_as(_count_bits)
def count_bits(bits: int) -> Any:
    """How many bits are set."""
    return np.int64(int(bits).bit_count())


@compiled_as(_unseen)
def unseen(value: int) -> int:
    """The same number, of which LLVM does not see how it was made.

    For a condition of several parts that is to be one branch: LLVM makes a branch of each, and where each is a guess, so is each mispredicted.
    """
    return value


@compiled_as(_unlikely)
def unlikely(condition: bool) -> bool:  # noqa: FBT001 - a condition
    """The same, which is false nearly always: what is done where it is true lies out of the way of the rest."""
    return condition


@compiled_as(_exp)
def exp(x: float) -> float:
    """The exponential function of the C library, as Python has it.

    Numba's math.exp is an older symbol of the same function that looks at its result once more, and in a loop it is another where Intel's library is there.
    """
    return math.exp(x)


def field(record: Any, name: str) -> Any:
    """An int64 field of a record for code that looks at it once per chunk: its `value` takes 0.1 µs, a record's attribute 1.5 µs."""
    return ctypes.c_int64.from_address(address_of(record) + record.dtype.fields[name][1])


class Unit(_Both):  # type: ignore[misc]  # same
    """A kernel of one record that is compiled by itself and called by the address that stands in a field of the record; see `unit`."""

    def __init__(self, function: Callable[..., Any], field: str) -> None:
        super().__init__(function, _call_by_field(field))
        self.field = field
        self.dispatcher = entry(function)
        self._addresses: dict[Any, int] = {}

    def place(self, record: Any) -> None:
        """Compile for a record's type, and write the address into its field."""
        record_type = type(record).type_
        if record_type not in self._addresses:
            self.dispatcher.compile((record_type,))
            result = self.dispatcher.overloads[record_type,]
            self._addresses[record_type] = result.library.get_pointer_to_function(result.fndesc.llvm_func_name)
        record[self.field] = self._addresses[record_type]


def _call_by_field(field: str) -> Callable[..., Any]:
    def definition(_context: Any, record: Any) -> Any:
        def codegen(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            place = cgutils.get_record_member(builder, args[0], record.offset(field), _I64)
            return _call(context, builder, record, builder.load(place, align=8), args[0])

        return types.int64(record), codegen

    return definition


def unit(field: str) -> Callable[[Callable[..., Any]], Any]:
    """Decorator for a kernel of one record (returning an integer, and raising nothing) that others call by the address in that record's `field`.

    What an entry calls is optimised in it, and again in every other entry that calls it. A unit is optimised once, at a call's cost of one or two ns; and what
    few runs need is a unit that others do not compile.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        if not JIT:
            return function
        made = Unit(function, field)
        made._register()
        return made

    return decorate
