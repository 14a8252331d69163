"""The code that Numba compiles, as libraries that link and that the cache keeps: every instruction is optimised once.

Numba by itself optimises each function, makes machine code of it as if Python called it, and does so again as a part of each of its callers. Here only what has
an address of its own (entries and units) becomes machine code: it takes in the intermediate code of all that it calls, and is optimised as a whole, once. That
left a quarter of LLVM's work.

`CodeLibrary` is not documented: see compiler.py.
"""

import weakref
from collections.abc import Iterator
from typing import Any

from llvmlite import binding
from numba.core.caching import Cache
from numba.core.codegen import JITCodeLibrary
from numba.core.environment import lookup_environment
from numba.core.runtime import rtsys
from numba.core.sigutils import normalize_signature
from numba.cpython import hashing  # noqa: F401 - registers the seed

from tapeline.interrupts import held

_ENTRY, _KERNEL = "tapeline's entry", "tapeline's kernel"
"""What Numba would say of how the cache has it: as machine code, or not."""
_tidying: "weakref.WeakKeyDictionary[Any, Any]" = weakref.WeakKeyDictionary()


class Library(JITCodeLibrary):
    """The code of one function: of a kernel, what others take in; of an entry, with all that it calls."""

    is_kernel = False

    def _optimize_functions(self, module: Any) -> None:
        """Tidy each function, where Numba optimises it: local variables become registers, so that less has to be taken in."""
        codegen = self._codegen
        module.data_layout = codegen._data_layout
        if codegen not in _tidying:
            passes = binding.create_new_function_pass_manager()
            passes.add_sroa_pass()
            passes.add_simplify_cfg_pass()
            passes.add_mem_copy_opt_pass()  # a local record's zeroes, which the first pass takes apart by bytes, become one again
            _tidying[codegen] = passes, codegen._pass_builder()
        passes, builder = _tidying[codegen]
        for function in module.functions:
            if not function.is_declaration:
                passes.run(function, builder)

    def _reached(self) -> Iterator[Any]:
        """What this needs, each once, ready to be taken in: kernels have not taken in anything themselves."""
        seen, to_visit = {self}, [self]
        while to_visit:
            for library in to_visit.pop()._linking_libraries:
                if library in seen:
                    continue
                seen.add(library)
                if isinstance(library, Library) and library.is_kernel:
                    to_visit.append(library)
                    yield library._final_module
                else:
                    yield library._get_module_for_linking()
                self._reload_init.update(library._reload_init)

    def finalize(self) -> None:
        """A kernel is done; an entry takes in what it calls, and becomes machine code."""
        self._raise_if_finalized()
        if self.is_kernel:
            for function in self._final_module.functions:
                if not function.is_declaration and function.linkage == binding.Linkage.external:
                    function.linkage = "linkonce_odr"  # several entries have it
            self._finalized = True
            return
        for module in self._reached():
            self._final_module.link_in(module, preserve=True)
        self._make_own()
        self._optimize_final_module()
        self._final_module.verify()
        self._finalize_final_module()
        self._give_environments()

    def _give_environments(self) -> None:
        """What was taken in finds its environment, which `print` needs: else it would return with Python's lock held. Numba does so for what it loads."""
        for variable in self._final_module.global_variables:
            environment = lookup_environment(variable.name)
            if environment is not None:
                self._codegen.set_env(variable.name, environment)

    def _make_own(self) -> None:
        """Nobody else calls what was taken in: what is called once may move into its caller, and callers may know that a kernel raises nothing.

        An order, from sending to the end, takes 15 % fewer instructions (64 rows of a market maker), and no longer to compile.
        """
        for function in self._final_module.functions:
            if not function.is_declaration and function.linkage == binding.Linkage.linkonce_odr:
                function.linkage = "internal"

    def _optimize_final_module(self) -> None:
        """Once, where Numba first runs a cheaper pass that gathers the counting of references: there is none here."""
        passes, builder = self._codegen._module_pass_manager()
        passes.run(self._final_module, builder)

    def serialize_using_object_code(self) -> tuple[str, str, tuple[Any, ...]]:
        """For the cache: what _Loaded is made of, or _Kept."""
        if self.is_kernel:
            self._final_module = self._get_module_for_linking()  # whole, for Numba looks there for environments next
            self._linking_libraries: list[Any] = []
            return self.name, _KERNEL, (self._final_module.as_bitcode(),)
        _, _, (code, intermediate) = super().serialize_using_object_code()
        defined = [one.name for ones in (self._final_module.functions, self._final_module.global_variables) for one in ones if not one.is_declaration]
        return self.name, _ENTRY, (code, intermediate, defined)

    def _get_module_for_linking(self) -> Any:
        """For libraries of Numba's own kind, which take in what they call, but not what that calls."""
        if self.is_kernel:
            whole = self._final_module.clone()
            for module in self._reached():
                whole.link_in(module, preserve=True)
            return whole
        return super()._get_module_for_linking()


class _NoMachineCode:
    """Where Numba would note a kernel's environment."""

    @staticmethod
    def set_env(_name: str, _environment: Any) -> None:
        """Whatever takes the kernel in finds its environments itself: `_give_environments`."""


class _Kept(Library):
    """A kernel from the cache, with all that it calls. It is read at once: it is asked for when something that calls it is compiled."""

    is_kernel = True
    codegen = _NoMachineCode

    def __init__(self, codegen: Any, name: str, intermediate: bytes) -> None:
        """As it was finalised."""
        super().__init__(codegen, name)
        self._final_module = binding.parse_bitcode(intermediate)
        self._finalized = True


class _Loaded(JITCodeLibrary):
    """Machine code from the cache. Its intermediate code is read if something that calls it is compiled: rarely, and it took a twentieth of each start."""

    intermediate = b""

    def _get_module_for_linking(self) -> Any:
        if self._shared_module is None:
            self._shared_module: Any = binding.parse_bitcode(self.intermediate)
        return self._shared_module


_read = JITCodeLibrary._unserialize.__func__


def _load(self: Any, signature: Any, target: Any) -> Any:
    """What the cache has. Numba first imports all that it can compile (and SciPy, where that is installed): a quarter of a warm start. Code needs none of it.

    What code may ask for is registered by `import numba`, but for counting references, and the seed of hashes. Two processes that keep the same function for
    different types at the same time may each take the other's file for their own.
    """
    rtsys.initialize(target)
    with self._guard_against_spurious_io_errors():
        found = self._load_overload(signature, target)
        return found if found is not None and found.signature.args == normalize_signature(signature)[0] else None


def _unserialize(cls: Any, codegen: Any, state: Any) -> Any:
    """A library from the cache, and the symbols that it defines: to look for them in the intermediate code took as long as all else."""
    name, kind, data = state
    if kind == _KERNEL:
        return _Kept(codegen, name, *data)
    if kind != _ENTRY:
        return _read(cls, codegen, state)
    library = _Loaded(codegen, name)
    code, library.intermediate, defined = data
    library.enable_object_caching()
    library._set_compiled_object(code)
    library._finalize_final_module()
    codegen._engine._defined_symbols.update(defined)
    return library


_finalize = JITCodeLibrary._finalize_specific


def _finalize_whole(self: Any) -> None:
    """Make machine code, in one piece: LLVM takes seconds, and then calls Python, where Ctrl-C would be handled, and lost."""
    with held():
        _finalize(self)


Cache.load_overload = _load
JITCodeLibrary._finalize_specific = _finalize_whole
JITCodeLibrary._unserialize = classmethod(_unserialize)
