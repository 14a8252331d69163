"""The one place that touches Numba's settings and its disk cache.

Numba's cache notices an edited function, but not an edited callee: it would answer with the old code. So compiled code lies in a directory whose name
is a hash of all of this package's sources, of the versions of Numba, NumPy and Python, of the processor, and of the settings below.
"""

import contextlib
import hashlib
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numba
import numpy as np
from llvmlite import binding as llvm
from numba.core import config as numba_config
from numba.core.caching import FunctionCache

from tapeline.stderr import COMPILING, COMPILING_EACH_TIME, say

JIT = not numba_config.DISABLE_JIT
"""False under NUMBA_DISABLE_JIT=1: everything runs as plain Python, for debuggers."""
if not JIT:
    np.seterr(over="ignore")  # integers wrap silently, as they do in compiled code: hashes depend on it
COMPILER_TESTED_WITH = "0.68."
"""compiler.py uses parts of Numba that may change. Other versions compile in their own way, to the same effect: it takes twice as long."""


compiling = threading.Lock()
"""Held where users' code is compiled: of several threads the first compiles, and the others find it done."""
_setting = threading.Lock()
_told: set[Path] = set()


def _our_way(name: str) -> dict[str, Any]:
    if not JIT or not numba.__version__.startswith(COMPILER_TESTED_WITH):
        return {}
    from tapeline import compiler  # noqa: PLC0415 - other versions may lack what it imports

    return {"pipeline_class": getattr(compiler, name)}


KERNEL_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"} | _our_way("KernelCompiler")
USER_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "boundscheck": True} | _our_way("UserCompiler")
"""For strategies' own methods: bounds checks cost nothing measurable there and turn silent corruption into IndexError."""


def forget_calls() -> None:
    """Forget which compiled function a call of a method is; where Numba compiles in its own way, it does not remember."""
    if compiler := sys.modules.get("tapeline.compiler"):
        compiler.forget_calls()


def _processor() -> tuple[str, str]:
    """What machine code is made for. Machines of a cluster may share a home, and none has anything of the others' code."""
    return numba_config.CPU_NAME or llvm.get_host_cpu_name(), numba_config.CPU_FEATURES or llvm.get_host_cpu_features().flatten()


@cache
def sources_key() -> str:
    """Hash of everything that compiled code depends on."""
    digest = hashlib.sha256()
    root = Path(__file__).parent
    for path in sorted(root.rglob("*.py")):
        digest.update(str(path.relative_to(root)).encode())
        digest.update(path.read_bytes())
    digest.update(repr((sys.version, numba.__version__, np.__version__, KERNEL_OPTIONS, USER_OPTIONS, _processor())).encode())
    return digest.hexdigest()[:16]


@cache
def cache_directory() -> Path | None:
    """Where compiled code is kept: $TAPELINE_CACHE, or the user's cache directory. One that may only be read, as in a container, has what was kept before.

    None, with a word on stderr, where there is nothing to be read either.
    """
    directory = Path(os.environ.get("TAPELINE_CACHE") or os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    try:
        directory = directory.expanduser() / "tapeline" / sources_key()
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=directory):
            pass
    except (OSError, RuntimeError) as error:  # RuntimeError: the user has no home, as in some containers
        if directory.is_absolute() and os.access(directory, os.R_OK | os.X_OK):
            return directory
        tell_not_kept(directory, error)
        return None
    return directory


def keeps() -> bool:
    """Whether what is compiled now is there for the next process."""
    directory = cache_directory() if JIT else None
    return directory is not None and os.access(directory, os.W_OK)


def words_for_compiling() -> str:
    """What to say to somebody who waits for it."""
    return COMPILING if keeps() else COMPILING_EACH_TIME


def tell_not_kept(directory: Path, error: Exception) -> None:
    """Say, once, that code has to be compiled again by the next process, and what to do."""
    if directory not in _told:
        _told.add(directory)
        problem = f"{directory} cannot be written ({getattr(error, 'strerror', error)})"
        say(f"tapeline: compiled code is not kept, {problem}; set TAPELINE_CACHE to a directory that can")


class _Place(FunctionCache._impl_class._locator_classes[0]):  # noqa: SLF001 - the one that goes by CACHE_DIR
    """Where a function's code is. Numba looks for no code where none can be written."""

    @classmethod
    def from_function(cls, py_func: Callable[..., Any], py_file: str) -> Any:
        """The place of a function in a file; None for others. That it can be written is found out where something is."""
        return cls(py_func, py_file) if Path(py_file).exists() else None


class _Kept(FunctionCache._impl_class):  # noqa: SLF001 - Numba has no other way
    """How a function's code is kept: as Numba does, in our place."""

    _locator_classes = (_Place,)


class _OnDisk(FunctionCache):
    """The code of a function on disk. What is damaged there is compiled again, and what finds no room is not kept: neither is a reason to end a run."""

    _impl_class = _Kept

    @contextlib.contextmanager
    def _guard_against_spurious_io_errors(self) -> Iterator[None]:
        """Around what Numba reads and writes."""
        try:
            yield
        except OSError as error:
            tell_not_kept(cache_directory() or Path(self.cache_path), error)
        except Exception:  # noqa: BLE001 - unpickling what is damaged may raise anything
            with contextlib.suppress(OSError):
                self.flush()


def compiled(function: Callable[..., Any], **options: Any) -> Any:
    """`numba.njit` of a function, cached in our directory if there is one."""
    directory = cache_directory() if JIT else None
    dispatcher = numba.njit(function, **options)
    if directory is None:
        return dispatcher
    with _setting:
        before = numba_config.CACHE_DIR
        numba_config.CACHE_DIR = str(directory)  # read when the cache is made, so nobody else's moves
        try:
            dispatcher._cache = _OnDisk(function)  # noqa: SLF001 - as Numba does where it is told cache=True
        except (OSError, RuntimeError) as error:  # RuntimeError: code that is in no file
            tell_not_kept(directory, error)
        finally:
            numba_config.CACHE_DIR = before
    return dispatcher


def entry(function: Callable[..., Any]) -> Any:
    """Decorator for what Python calls: nogil, kept on disk, IEEE arithmetic without fast-math, no bounds checks (callers check)."""
    return compiled(function, **KERNEL_OPTIONS)


def counting(function: Callable[..., Any]) -> Any:
    """Decorator for the few that make arrays, lists or maps, whose references are counted: as an entry, but compiled in Numba's own way."""
    return compiled(function, nogil=True, error_model="numpy")


def bound(function: Any, *like: Any) -> Any:
    """An entry compiled for arguments like these, to be called often: it does not look at their types again, which takes 10 µs a call for records."""
    if not JIT:
        return function
    types = tuple(type(a).type_ if isinstance(a, np.void) else numba.typeof(a) for a in like)  # type: ignore[attr-defined]  # a Record has it
    if types not in function.overloads:  # Numba takes 0.1 ms to find that out
        function.compile(types)
    return function.overloads[types].entry_point


def going(function: Any, record: Any, *arrays: Any) -> Callable[[], Any]:
    """An entry that goes on with the same state, bound to it, to be called for every chunk.

    It is given what stands for the record: Numba asks for a record's `data`, and NumPy then writes out the format of all its fields, 28 µs for an engine's.
    """
    stands_in = SimpleNamespace(data=np.frombuffer(record, np.uint8).data) if JIT else record
    return partial(bound(function, record, *arrays), stands_in, *arrays)


CALLED_BY_KERNELS: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}


def kernel(function: Callable[..., Any], make: Callable[..., Any] = numba.njit) -> Any:
    """Decorator for what only compiled code calls: as `entry`, but neither wrapped for Python nor kept by itself: half of the first compilation's time."""
    return make(function, **CALLED_BY_KERNELS, **KERNEL_OPTIONS)


def leaf(function: Callable[..., Any], make: Callable[..., Any] = numba.njit) -> Any:
    """Decorator for small kernels on the hot path: as `kernel`, and always inlined; LLVM by itself leaves half as calls (70 ns a record instead of 20)."""
    return make(function, forceinline=True, **CALLED_BY_KERNELS, **KERNEL_OPTIONS)


def inlined(method: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator for a method of one of this package's records that is to be what a leaf is."""
    method.options = {"forceinline": True}  # type: ignore[attr-defined]  # for record_members
    return method


def kept(decorator: Callable[..., Any]) -> Callable[[Callable[..., Any]], Any]:
    """`@kept(kernel)`, `@kept(leaf)`: for what the code of strategies calls. Kept on disk, not as machine code, but as what is taken in where it is called.

    It leaves half of the wait for a strategy that was edited; what comes out is the same.
    """
    return partial(decorator, make=compiled)
