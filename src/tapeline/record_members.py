"""What compiled code knows of records besides their fields: methods, properties, constants and `[]`; and that it compiles users' functions that methods call.

Numba's own `overload_method` on all records would let one class's method hide another's field of that name: so members are looked up per type.
"""

import inspect
import operator
import sys
import sysconfig
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any

import numba
from numba import types
from numba.core.dispatcher import Dispatcher
from numba.core.imputils import builtin_registry
from numba.core.registry import cpu_target
from numba.core.typing.arraydecl import RecordAttribute, StaticGetItemLiteralRecord
from numba.core.typing.context import BaseContext
from numba.core.typing.templates import AbstractTemplate
from numba.core.utils import pysignature
from numba.extending import overload, typeof_impl

from tapeline.jit import CALLED_BY_KERNELS, JIT, KERNEL_OPTIONS, USER_OPTIONS, forget_calls, kernel

record_classes: dict[Any, Any] = {}
"""Numba type → class."""
user_modules: set[str] = set()
"""Modules that define records of users: their plain functions are compiled when a method calls them, and so are those of users' modules that they import."""
_members: dict[str, dict[Any, Any]] = {}
"""Name → Numba type → what the class has of that name: a method, the compiled getter of a property, or a constant."""
_called: dict[tuple[str, bool], Any] = {}
"""Name of a method, and whether of this package's records or of users' → the function that stands for all of them."""
_items: dict[Any, Any] = {}
_dispatchers: dict[Any, Any] = {}


def is_ours(module: str | None) -> bool:
    """Whether a module is of this package."""
    return (module or "").partition(".")[0] == __package__


def bind(cls: Any) -> None:
    """Make a class of records a type of Numba's, with the members that it and its bases have now: a class that was defined again has the type it had."""
    cls.type_ = record_type = numba.from_dtype(cls.dtype_)
    if record_type in record_classes:
        for table in (*_members.values(), _items):
            table.pop(record_type, None)
    record_classes[record_type] = cls
    for base in cls.lineage_:
        for name, member in list(vars(base).items()):
            if name == "__getitem__":
                _bind_item(record_type, member)
            elif name in cls.fields_ or name.endswith("_"):
                continue
            elif inspect.isfunction(member):
                _bind_method(name, record_type, member)
            elif isinstance(member, property):
                _bind_value(name, record_type, kernel(member.fget))  # type: ignore[arg-type]  # it has one
            elif all(isinstance(number, (int, float)) for number in (member if isinstance(member, tuple) else (member,))):
                _bind_value(name, record_type, member)


def forget_compiled(classes: Iterable[Any]) -> None:
    """Let Numba forget what it has compiled of users' code, and know the members of some classes as they are now.

    It knows a method by its name and the record's type, of which a class that was defined again, as in a notebook, has the same; and a function of a module
    keeps the values of globals that it was compiled with.
    """
    users = {record_type for record_type, cls in record_classes.items() if not is_ours(cls.__module__)}
    typing = cpu_target.typing_context
    typing.refresh()  # in a process that has compiled nothing yet, it knows none of these functions
    for function in (*_called.values(), operator.getitem):
        for template in typing.resolve_value_type(function).templates:
            known = getattr(template, "_impl_cache", {})
            for key in [key for key in known if not users.isdisjoint(key[1])]:
                del known[key]
    forget_calls()
    _dispatchers.clear()
    for cls in classes:
        bind(cls)


def _signature_of_method(context: Any, name: str, args: Any, kws: Any) -> tuple[Any, Any]:
    """The function that stands for all methods of that name, and its signature for these arguments, the first being the record."""
    record_type = args[0]
    function = context.resolve_value_type(_called[name, is_ours(record_classes[record_type].__module__)])
    signature = function.get_call_type(context, args, kws)
    return function, signature.replace(pysig=pysignature(_members[name][record_type]))


@cache
def _method_of(record_type: Any, name: str) -> Any:
    class Method(AbstractTemplate):
        key = (types.Record, name)

        def generic(self, args: Any, kws: Any) -> Any:
            return _signature_of_method(self.context, name, (record_type, *args), kws)[1].as_method()

    return types.BoundFunction(Method, record_type)


def _bind_method(name: str, record_type: Any, function: Any) -> None:
    table = _members.setdefault(name, {})
    table[record_type] = function
    ours = is_ours(record_classes[record_type].__module__)
    if (name, ours) in _called:
        return

    def method(self: Any, *_args: Any, **_kws: Any) -> Any:
        return table.get(self)  # the method itself, no lambda around it: one compilation less

    options = (KERNEL_OPTIONS if ours else USER_OPTIONS) | CALLED_BY_KERNELS | getattr(function, "options", {})
    overload(method, strict=False, jit_options=options)(method)
    _called[name, ours] = method
    if (name, not ours) in _called:
        return

    @builtin_registry.lower((types.Record, name), types.Record, types.VarArg(types.Any))
    def _(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        function, signature = _signature_of_method(context.typing_context, name, signature.args, {})
        call = context.get_function(function, signature)
        context.add_linking_libs(getattr(call, "libs", ()))
        return call(builder, args)


def _bind_value(name: str, record_type: Any, value: Any) -> None:
    """A constant, or what a property's compiled getter computes."""
    _members.setdefault(name, {})[record_type] = value
    _lower_value(name, record_type)


@cache
def _lower_value(name: str, record_type: Any) -> None:
    """Say once how such a member is lowered, whatever it is by then."""

    @builtin_registry.lower_getattr(record_type, name)
    def _(context: Any, builder: Any, _record_type: Any, record: Any) -> Any:
        value = _members[name][record_type]
        if not isinstance(value, Dispatcher):
            return context.get_constant_generic(builder, numba.typeof(value), value)
        getter = value.overloads[record_type,]  # compiled when its type was asked for, below
        context.active_code_library.add_linking_library(getter.library)
        return context.call_internal_no_propagate(builder, getter.fndesc, getter.signature, (record,))[1]


_resolve_set = BaseContext.resolve_setattr


def _resolve_set_of_field(self: Any, target: Any, attribute: str, value: Any) -> Any:
    """None, for it cannot be, where a float goes to a whole number of a Record, or an array to one of its arrays. Other people's records are theirs.

    Numba cuts the float off without a word, and fails without one at the array, unless that is a field, too.
    """
    signature = _resolve_set(self, target, attribute, value)
    if signature is None or target not in record_classes:
        return signature
    field = signature.args[1]
    is_cut = isinstance(value, types.Float) and isinstance(field, types.Integer)
    is_replaced = isinstance(field, types.NestedArray) and not isinstance(value, types.NestedArray)
    return None if is_cut or is_replaced else signature


_resolve_field = RecordAttribute.generic_resolve


def _resolve_attribute(self: Any, record_type: Any, attribute: str) -> Any:
    """Fields, then members. All in one place, for Numba asks every place in turn, and for each field of each expression."""
    if attribute in record_type.fields:
        return _resolve_field(self, record_type, attribute)
    member = _members.get(attribute, {}).get(record_type)
    if member is None:
        return None
    if inspect.isfunction(member):
        return _method_of(record_type, attribute)
    if isinstance(member, Dispatcher):
        member.compile((record_type,))
        return member.overloads[record_type,].signature.return_type
    return numba.typeof(member)


def _bind_item(record_type: Any, function: Any) -> None:
    if not _items:

        @overload(operator.getitem)
        def item(self, index):  # the very signature of what it returns: `__getitem__(self, index)`, without annotations
            if isinstance(self, types.Record) and isinstance(index, types.Integer):
                return _items.get(self)
            return None

    @builtin_registry.lower("static_getitem", record_type, types.IntegerLiteral)
    def _(_context: Any, _builder: Any, _signature: Any, _args: Any) -> Any:
        raise NotImplementedError  # not the first field: Numba then takes the overload above

    _items[record_type] = function


@cache
def _is_users(module: str) -> bool:
    """Whether a module defines users' records, or is a user's own beside them: neither installed, nor of Python, nor of this package."""
    if module in user_modules:
        return True
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None or is_ours(module) or module.partition(".")[0] in sys.stdlib_module_names:
        return False
    installed = {sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")}
    return not any(Path(file).resolve().is_relative_to(Path(path).resolve()) for path in installed)


def _typeof_plain_function(function: Any, _context: Any) -> Any:
    """Users' plain functions are compiled when a method calls them; never all functions, that would hide `@overload`."""
    if not _is_users(function.__module__ or ""):
        return None
    if function not in _dispatchers:
        _dispatchers[function] = numba.njit(function, **CALLED_BY_KERNELS, **USER_OPTIONS)
    return types.Dispatcher(_dispatchers[function])


_static_item = StaticGetItemLiteralRecord.generic


def _resolve_static_item(self: Any, args: Any, kws: Any) -> Any:
    """`record[0]` is the first field to Numba; where a class says otherwise, its `__getitem__` is meant."""
    return None if args[0] in _items and isinstance(args[1], types.Integer) else _static_item(self, args, kws)


if JIT:
    types.Record.__repr__ = types.Type.__repr__
    BaseContext.resolve_setattr = _resolve_set_of_field
    RecordAttribute.generic_resolve = _resolve_attribute
    StaticGetItemLiteralRecord.generic = _resolve_static_item
    typeof_impl.register(FunctionType)(_typeof_plain_function)
