"""Record: a plain class with annotated fields that is one flat structure in memory, compiled and in Python alike.

    class Account(Record):
        position: int64
        fee: float64 = 0.5
        window: (float64, (64,))

        def add(self, size):
            self.position += size

The annotations become a NumPy structured dtype (aligned as in C), instances are NumPy void scalars, which reference their memory, and methods, properties and
plain class attributes work inside compiled functions on every instance. With the JIT off the same class is ordinary Python.

Two things to know about Numba here. It takes two records of equal layout for one type; a *title* on the first field, which costs no bytes, makes each class a
type of its own. And its own `overload_method` on all records would let one class's method hide another's field of that name; so methods are looked up per
type.
"""

import inspect
import operator
import sys
import sysconfig
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any, ClassVar, get_origin

import numba
import numpy as np
from numba import types
from numba.core.imputils import builtin_registry
from numba.core.registry import cpu_target
from numba.core.typing.arraydecl import RecordAttribute, StaticGetItemLiteralRecord
from numba.core.typing.context import BaseContext
from numba.core.typing.templates import AbstractTemplate
from numba.core.utils import pysignature
from numba.extending import overload, typeof_impl

from tapeline.contract import FIELD_NOT_WHOLE
from tapeline.jit import CALLED_BY_KERNELS, JIT, KERNEL_OPTIONS, USER_OPTIONS, forget_calls, kernel

if TYPE_CHECKING:  # a field takes and gives what Python calls numbers
    bool_ = bool
    int64 = int
    int32 = int
    uint64 = int
    uint32 = int
    uint16 = int
    uint8 = int
    int8 = int
    float64 = float
    _Void = Any  # NumPy's annotations call np.void final; it is not
else:
    bool_, int64, int32, uint32, uint64, uint16, uint8, float64 = np.bool_, np.int64, np.int32, np.uint32, np.uint64, np.uint16, np.uint8, np.float64
    int8 = np.int8
    _Void = np.void
_TAKEN = {"data", "dtype", "dtype_", "type_", "fields_"}
_origin: Any = get_origin
_FLOATS = (float, np.floating)
PACKAGE = __name__.partition(".")[0]

record_classes: dict[Any, type["Record"]] = {}
"""Numba type → class, for error messages."""
user_modules: set[str] = set()
"""Modules that define records of users: their plain functions are compiled when a method calls them, and so are those of users' modules that they import."""
_methods: dict[str, dict[Any, Any]] = {}
_called: dict[str, Any] = {}
_properties: dict[str, dict[Any, Any]] = {}
_items: dict[Any, Any] = {}
_constants: dict[tuple[Any, str], Any] = {}


def _field(owner: str, name: str, dtype: np.dtype[Any]) -> property:
    """A field as plain Python reads and sets it. A whole number refuses a float, as compiled code does: NumPy cuts it off."""

    def put(self: Any, value: Any) -> None:
        if is_whole and isinstance(value, _FLOATS):
            raise TypeError(FIELD_NOT_WHOLE.format(name, owner, dtype))
        np.void.__setitem__(self, name, value)

    is_whole = dtype.kind in "iu"

    return property(lambda self: np.void.__getitem__(self, name), put)


def _element(hint: Any) -> Any:
    return hint.dtype_ if hasattr(hint, "dtype_") else hint


def _alignment(dtype: np.dtype[Any]) -> int:
    """Alignment in C. NumPy forgets it for structures that carry a class of their own."""
    base = dtype.base
    return max(_alignment(field[0]) for field in base.fields.values()) if base.fields else base.alignment


def _format(owner: str, name: str, hint: Any) -> np.dtype[Any]:
    """The dtype of one annotated field. Raises TypeError for what has no fixed size in memory, and for what Numba cannot have in an array."""
    found: np.dtype[Any]
    try:
        found = np.dtype((_element(hint[0]), hint[1]) if isinstance(hint, tuple) else _element(hint))
    except (TypeError, ValueError):
        found = np.dtype(object)
    if found.base.kind not in "biufV":
        raise TypeError(f"{owner}: field {name!r} is {hint!r}: expected a number such as tl.int64, an array such as (tl.float64, (64,)), or a Record")
    if found.shape and found.base.kind == "b":
        raise TypeError(f"{owner}: field {name!r} is an array of bool_, which compiled code does not know: take (tl.uint8, {hint[1]!r})")
    return found


def _layout(title: str, hints: dict[str, Any], *, packed: bool) -> np.dtype[Any]:
    """The dtype of annotated fields, laid out as in C (or without gaps); the first field carries the title that makes the type its own."""
    formats = [_format(title, name, hint) for name, hint in hints.items()]
    alignments = [1 if packed else _alignment(f) for f in formats]
    offsets: list[int] = []
    end = 0
    for dtype, alignment in zip(formats, alignments, strict=True):
        offsets.append(-(-end // alignment) * alignment)
        end = offsets[-1] + dtype.itemsize
    itemsize = -(-end // max(alignments)) * max(alignments)
    titles = [title, *[None] * (len(formats) - 1)]
    return np.dtype({"names": list(hints), "formats": formats, "offsets": offsets, "itemsize": itemsize, "titles": titles}, align=not packed)


class _RecordMeta(type):
    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any) -> Any:
        namespace["__slots__"] = ()  # no __dict__: `self.typo = 1` raises with the JIT off, too
        return super().__new__(mcs, name, bases, namespace, **options)


class Record(_Void, metaclass=_RecordMeta):
    """A structure of one's own, to be a field of a strategy: annotated fields, with defaults or zero at the start, and methods that are compiled with it.

        class Average(tl.Record):
            count: tl.int64
            values: (tl.float64, (16,))

            def add(self, value):
                self.values[self.count % 16] = value
                self.count += 1

    Fields are numbers, arrays of fixed shape, or Records. Each instance is one flat structure in memory, compiled and in Python alike.
    """

    dtype_: Any
    type_: Any
    fields_: dict[str, Any]
    _defaults: dict[str, Any]

    def __init_subclass__(cls, *, packed: bool = False) -> None:
        """Turn the annotations of the class and its bases into a dtype, and bind the methods to its compiled type."""
        if cls.__module__.partition(".")[0] != PACKAGE:
            user_modules.add(cls.__module__)
        lineage = _lineage(cls)
        hints: dict[str, Any] = {}
        for c in lineage:
            annotations: dict[str, Any] = inspect.get_annotations(c, eval_str=True)
            hints |= {name: hint for name, hint in annotations.items() if _origin(hint) is not ClassVar}
        taken = hints.keys() & _TAKEN
        if taken:
            named = ", ".join(sorted(taken))
            raise TypeError(f"{cls.__name__}: a field cannot be named {named!r}: structures have an attribute of that name; choose another")
        cls.fields_ = hints
        # a base's defaults have already made way for properties
        cls._defaults = {name: value for c in lineage[:-1] for name, value in _defaults_of(c).items()}
        cls._defaults |= {name: vars(cls)[name] for name in hints if name in vars(cls)}
        if not hints:
            return
        cls.dtype_ = np.dtype((cls, _layout(f"{cls.__module__}.{cls.__qualname__}", hints, packed=packed)))
        for name in hints:
            setattr(cls, name, _field(cls.__name__, name, cls.dtype_.fields[name][0]))
        if JIT:
            _bind_class(cls, lineage)

    def __new__(cls, **values: Any) -> Any:
        """One instance, zero but for the defaults and `values`. Raises TypeError on a name that is no field."""
        self = cls._blank().copy()[0]
        for name, value in values.items():
            if name not in cls.fields_:
                raise TypeError(f"{cls.__name__} has no field {name!r}; it has {', '.join(n for n in cls.fields_ if not n.startswith('_'))}")
            cls._put(self, name, value)
        return self

    def __repr__(self) -> str:
        """Its fields, such as `Maker(size=2, order_id=0)`; of long arrays the ends."""
        with np.printoptions(threshold=8, edgeitems=2):
            shown = [f"{name}={_shown(np.void.__getitem__(self, name))}" for name in self.fields_ if not name.startswith("_")]
        return f"{type(self).__name__}({', '.join(shown)})"

    __str__ = __repr__

    @classmethod
    def _put(cls, target: Any, name: str, value: Any) -> None:
        """Set a field of one instance, or of an array of them. Raises TypeError where it would keep another value: of 1.7, a whole number keeps 1."""
        kind = np.ndarray if isinstance(target, np.ndarray) else np.void  # whose item a class may not have made its own
        try:
            kind.__setitem__(target, name, value)
        except (TypeError, ValueError, OverflowError) as error:
            raise TypeError(f"{cls.__name__}({name}={value!r}): {error}") from error
        kept = kind.__getitem__(target, name)
        if kept.dtype.kind in "biu" and not np.all(kept == value):
            raise TypeError(f"{cls.__name__}({name}={value!r}): the field is {kept.dtype}, and cannot hold that")

    @classmethod
    @cache
    def _blank(cls) -> np.ndarray[Any, Any]:
        """One instance with nothing but the defaults, to be copied."""
        rows = np.zeros(1, cls.dtype_)
        cls._fill(rows[0])
        return rows

    @classmethod
    def _fill(cls, self: Any) -> None:
        for name, hint in cls.fields_.items():
            element = hint[0] if isinstance(hint, tuple) else hint
            value = np.void.__getitem__(self, name)
            if isinstance(element, type) and issubclass(element, Record):
                for nested in value.reshape(-1) if isinstance(hint, tuple) else (value,):
                    element._fill(nested)
            if name in cls._defaults:
                cls._put(self, name, cls._defaults[name])

    @classmethod
    def array(cls, n: int | None = None, /, **values: Any) -> np.ndarray[Any, Any]:
        """`n` instances side by side, or as many as the sequences among `values` have; each of these is one value for all or a sequence of `n`.

        Raises TypeError on a name that is no field, where a field cannot hold a value, and where nothing says how many there are.
        """
        if n is None:
            lengths = {len(value) for name, value in values.items() if name in cls.fields_ and np.ndim(value) > cls.dtype_.fields[name][0].ndim}
            if len(lengths) != 1:
                raise TypeError(f"{cls.__name__}.array(): expected sequences of one length, or n, the number of instances, first")
            (n,) = lengths
        rows = np.repeat(cls._blank(), n)
        for name, value in values.items():
            if name not in cls.fields_:
                cls(**{name: value})
            cls._put(rows, name, value)
        return rows


def _shown(value: Any) -> str:
    return repr(value) if isinstance(value, np.void) else str(value).replace("\n", "")


def forget_compiled(classes: Iterable[type[Record]]) -> None:
    """Let Numba forget what it has compiled of users' code, and know the methods of some classes as they are now.

    It knows a method by its name and the record's type, of which a class that was defined again, as in a notebook, has the same; and a function of a module
    keeps the values of globals that it was compiled with.
    """
    users = {record_type for record_type, cls in record_classes.items() if cls.__module__.partition(".")[0] != PACKAGE}
    typing = cpu_target.typing_context
    for function in (*_called.values(), operator.getitem):
        for template in typing.resolve_value_type(function).templates:
            known = getattr(template, "_impl_cache", {})
            for key in [key for key in known if not users.isdisjoint(key[1])]:
                del known[key]
    forget_calls()
    _dispatchers.clear()
    for cls in classes:
        _bind_class(cls, _lineage(cls))


def _lineage(cls: type) -> list[Any]:
    """What a class is made of, the class itself last: records, and plain classes among its bases, whose fields and methods are its own, too."""
    return [c for c in reversed(cls.__mro__) if c not in Record.__mro__]


def _defaults_of(base: type) -> dict[str, Any]:
    if issubclass(base, Record):
        return vars(base).get("_defaults", {})
    return {name: vars(base)[name] for name in inspect.get_annotations(base) if name in vars(base)}


def _bind_class(cls: type[Record], lineage: list[Any]) -> None:
    cls.type_ = record_type = numba.from_dtype(cls.dtype_)
    record_classes[record_type] = cls
    options = KERNEL_OPTIONS if cls.__module__.partition(".")[0] == PACKAGE else USER_OPTIONS
    for c in lineage:
        for name, member in list(vars(c).items()):
            if name in cls.fields_ or name.endswith("_"):
                if name == "__getitem__":
                    _bind_item(record_type, member)
            elif inspect.isfunction(member):
                _bind_method(name, record_type, member, options)
            elif isinstance(member, property):
                _bind_property(name, record_type, member.fget)
            elif isinstance(member, (bool, int, float)) or (isinstance(member, tuple) and all(isinstance(x, (int, float)) for x in member)):
                _bind_constant(name, record_type, member)


def _signature_of_method(context: Any, name: str, args: Any, kws: Any) -> tuple[Any, Any]:
    """The function that stands for all methods of that name, and its signature for these arguments, the first being the record."""
    function = context.resolve_value_type(_called[name])
    signature = function.get_call_type(context, args, kws)
    return function, signature.replace(pysig=pysignature(_methods[name][args[0]]))


@cache
def _method_of(record_type: Any, name: str) -> Any:
    class Method(AbstractTemplate):
        key = (types.Record, name)

        def generic(self, args: Any, kws: Any) -> Any:
            return _signature_of_method(self.context, name, (record_type, *args), kws)[1].as_method()

    return types.BoundFunction(Method, record_type)


def _bind_method(name: str, record_type: Any, function: Any, options: dict[str, Any]) -> None:
    if name not in _methods:
        table = _methods[name] = {}

        def method(self: Any, *_args: Any, **_kws: Any) -> Any:
            return table.get(self)  # the method itself, no lambda around it: one compilation less

        overload(method, strict=False, jit_options=options | CALLED_BY_KERNELS)(method)
        _called[name] = method

        @builtin_registry.lower((types.Record, name), types.Record, types.VarArg(types.Any))
        def _(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            function, signature = _signature_of_method(context.typing_context, name, signature.args, {})
            call = context.get_function(function, signature)
            context.add_linking_libs(getattr(call, "libs", ()))
            return call(builder, args)

    _methods[name][record_type] = function


def _bind_property(name: str, record_type: Any, getter: Any) -> None:
    table = _properties.setdefault(name, {})
    table[record_type] = kernel(getter)

    @builtin_registry.lower_getattr(record_type, name)
    def _(context: Any, builder: Any, _record_type: Any, value: Any) -> Any:
        dispatcher = table[record_type]
        compiled = dispatcher.get_overload((record_type,))  # compiled by the typing below
        result = dispatcher.overloads[record_type,]
        del compiled
        context.active_code_library.add_linking_library(result.library)
        return context.call_internal_no_propagate(builder, result.fndesc, result.signature, (value,))[1]


def _bind_constant(name: str, record_type: Any, value: Any) -> None:
    _constants[record_type, name] = value

    @builtin_registry.lower_getattr(record_type, name)
    def _(context: Any, builder: Any, _record_type: Any, _value: Any) -> Any:
        constant = _constants[record_type, name]
        return context.get_constant_generic(builder, numba.typeof(constant), constant)


_resolve_set = BaseContext.resolve_setattr


def _resolve_set_of_field(self: Any, target: Any, attribute: str, value: Any) -> Any:
    """None, for it cannot be, where a float goes to a whole number of a Record: Numba cuts it off without a word. Other people's records are theirs."""
    signature = _resolve_set(self, target, attribute, value)
    is_cut = isinstance(value, types.Float) and target in record_classes and signature is not None and isinstance(signature.args[1], types.Integer)
    return None if is_cut else signature


_resolve_field = RecordAttribute.generic_resolve


def _resolve_attribute(self: Any, record_type: Any, attribute: str) -> Any:
    """Fields, then methods, properties and constants. All in one place, for Numba asks every place in turn, and for each field of each expression."""
    if attribute in record_type.fields:
        return _resolve_field(self, record_type, attribute)
    if record_type in _methods.get(attribute, ()):
        return _method_of(record_type, attribute)
    getter = _properties.get(attribute, {}).get(record_type)
    if getter is not None:
        getter.compile((record_type,))
        return getter.overloads[record_type,].signature.return_type
    constant = _constants.get((record_type, attribute))
    return None if constant is None else numba.typeof(constant)


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


_dispatchers: dict[Any, Any] = {}


@cache
def _is_users(module: str) -> bool:
    """Whether a module defines users' records, or is a user's own beside them: neither installed, nor of Python, nor of this package."""
    if module in user_modules:
        return True
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None or module.partition(".")[0] in {PACKAGE, *sys.stdlib_module_names}:
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
