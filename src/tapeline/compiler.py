"""How Numba compiles this package: by the passes that kernels need, into libraries of which every instruction is optimised once (machine_code.py).

Numba looks at each function in thirty passes; kernels, which have neither closures nor generators nor array expressions, need ten. And what it finds out about
`a + b` it finds out again at the next `a + b`: here it remembers. It takes 40 % of the time, machine_code.py included.

Some of this is documented (`CompilerBase`, `PassManager`), some is not (`CodeLibrary`, and the functions that are replaced at the end of both files): so jit.py
imports this module only with the versions of Numba that it was tested with. Others compile in their own way, to the same effect.
"""

import gc
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

from numba import types
from numba._dynfunc import make_function
from numba.core.callconv import CPUCallConv
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import FunctionPass, LoweringPass, PassManager, register_pass
from numba.core.cpu import CPUContext
from numba.core.ir_utils import build_definitions
from numba.core.lowering import Lower
from numba.core.rewrites import rewrite_registry
from numba.core.ssa import reconstruct_ssa
from numba.core.transforms import canonicalize_cfg
from numba.core.typed_passes import IRLegalization, NativeLowering, NoPythonBackend, NopythonTypeInference, PreLowerStripPhis
from numba.core.typing import Context
from numba.core.untyped_passes import FixupArgs, TranslateByteCode

from tapeline.machine_code import Library

_COLLECT_AFTER = (100_000, 50, 50)
"""Compiling makes many objects and little garbage: looking for it as often as Python does by itself took 7 % of the time."""


# ---------------------------------------------------------------------- the passes


@register_pass(mutates_CFG=True, analysis_only=False)
class _OpenLibrary(LoweringPass):
    _name = "tapeline_open_library"

    def __init__(self) -> None:
        LoweringPass.__init__(self)

    def run_pass(self, state: Any) -> bool:
        """Numba's lowering takes the library that it finds."""
        state.library = Library(state.targetctx.codegen(), state.func_id.func_qualname)
        state.library.enable_object_caching()
        state.library.is_kernel = state.flags.no_compile = state.flags.no_cpython_wrapper
        return False


@register_pass(mutates_CFG=True, analysis_only=False)
class _RegisterKernel(LoweringPass):
    _name = "tapeline_register_kernel"

    def __init__(self) -> None:
        LoweringPass.__init__(self)

    def run_pass(self, state: Any) -> bool:
        """Make a kernel known to its callers, as Numba's lowering does with what it has made machine code of."""
        if state.library.is_kernel:
            state.library.finalize()
            lowered, description = state["cr"], state["cr"].fndesc
            name = description.qualname.rpartition(".")[2]
            key = make_function(description.lookup_module(), name, "", 0, lowered.env, (state.library,))  # nobody calls it
            state.targetctx.insert_user_function(key, description, [state.library])
            state["cr"] = lowered._replace(cfunc=key)
        return False


@register_pass(mutates_CFG=True, analysis_only=False)
class _Prepare(FunctionPass):
    """What has to be done before types are inferred; without what only generators and `with` need, after each step."""

    _name = "tapeline_prepare"

    def __init__(self) -> None:
        FunctionPass.__init__(self)

    def run_pass(self, state: Any) -> bool:
        function = state.func_ir
        function.blocks = canonicalize_cfg(function.blocks)
        for rewrite in rewrite_registry.rewrites["before-inference"]:
            self._apply(rewrite(state), state)
        reconstruct_ssa(function)
        function._definitions = build_definitions(function.blocks)
        return True

    @staticmethod
    def _apply(rewrite: Any, state: Any) -> None:
        blocks = state.func_ir.blocks
        for key in list(blocks):
            while rewrite.match(state.func_ir, blocks[key], state.typemap, state.calltypes):
                blocks[key] = rewrite.apply()


@register_pass(mutates_CFG=True, analysis_only=False)
class _StripPhis(PreLowerStripPhis):
    _name = "tapeline_strip_phis"

    def run_pass(self, state: Any) -> bool:
        state.func_ir = self._strip_phi_nodes(state.func_ir)
        state.func_ir._definitions = build_definitions(state.func_ir.blocks)
        return True


@register_pass(mutates_CFG=True, analysis_only=False)
class _EndVariables(IRLegalization):
    """Say where variables end, in functions that then have anything to release."""

    _name = "tapeline_end_variables"

    def run_pass(self, state: Any) -> bool:
        return bool(state.flags.nrt) and bool(super().run_pass(state))


class _LowerWithLines(Lower):
    """Leaves with the builder the line that it is at: see `_return_exception`."""

    def lower_inst(self, inst: Any) -> None:
        self.builder.line = inst.loc, self.func_ir.func_id.func_name
        super().lower_inst(inst)


@register_pass(mutates_CFG=True, analysis_only=False)
class _UsersLowering(NativeLowering):
    _name = "tapeline_users_lowering"

    @property
    def lowering_class(self) -> Any:
        return _LowerWithLines


class _KernelPasses(PassManager):
    """As Numba's, without the checks and reports around each pass."""

    PASSES: ClassVar = (
        TranslateByteCode,
        FixupArgs,
        _Prepare,
        NopythonTypeInference,
        _StripPhis,
        _EndVariables,
        _OpenLibrary,
        NativeLowering,
        _RegisterKernel,
        NoPythonBackend,
    )

    def __init__(self) -> None:
        super().__init__("kernel")
        for one in self.PASSES:
            self.add_pass(one, one._name)
        self.finalize()

    def _runPass(self, _index: int, one: Any, state: Any) -> None:  # noqa: N802 - Numba's name
        one.analysis = self._analysis
        one.run_initialization(state)
        one.run_pass(state)
        one.run_finalizer(state)


class _Compiler(CompilerBase):
    """What both compilers have in common."""

    at_work: "ClassVar[type[_Compiler] | None]" = None
    """The one whose function is being compiled."""
    begins_inside: ClassVar = False
    """Whether a kernel's compilation begins inside of another's."""

    def __init__(self, typing: Any, target: Any, *rest: Any) -> None:
        """As Numba's."""
        super().__init__(typing, target, *rest)
        self.state.targetctx.get_abi_sizeof = partial(_size_of, target)

    def _compile_core(self) -> Any:
        before, _Compiler.at_work = _Compiler.at_work, type(self)
        thresholds = gc.get_threshold()
        gc.set_threshold(*_COLLECT_AFTER)
        try:
            return super()._compile_core()
        finally:
            gc.set_threshold(*thresholds)
            _Compiler.at_work = before


class KernelCompiler(_Compiler):
    """For this package's functions."""

    def __init__(self, *given: Any) -> None:
        """Kernels own no memory that is counted; entries may be given arrays, which are."""
        _typing, _target, _library, args, _return_type, flags, _locals = given
        flags.nrt = any(isinstance(one, types.Array) for one in args)
        _Compiler.begins_inside = _Compiler.at_work is KernelCompiler
        try:
            super().__init__(*given)
        finally:
            _Compiler.begins_inside = False

    def define_pipelines(self) -> list[Any]:
        """The passes."""
        return [_KernelPasses()]


class UserCompiler(_Compiler):
    """For users' functions: with all of Numba's passes, for they may use all of Python that Numba knows."""

    def define_pipelines(self) -> list[Any]:
        """The passes."""
        manager = DefaultPassBuilder.define_nopython_pipeline(self.state)
        at = [one for one, _ in manager.passes].index(NativeLowering)
        manager.passes[at : at + 1] = [(one, one._name) for one in (_OpenLibrary, _UsersLowering, _RegisterKernel)]
        manager.finalize()
        return [manager]


# ---------------------------------------------------------------------- what Numba would find out again and again

_PLAIN = (types.Number, types.Boolean, types.IntegerLiteral, types.BooleanLiteral, types.Record, types.DType, types.NumberClass)
_sizes: dict[str, int] = {}
_known: dict[Any, Any] = {}
_return_user_exc = CPUCallConv.return_user_exc
_resolve_builtin, _resolve_compiled = types.BaseFunction.get_call_type, types.Dispatcher.get_call_type


def forget_calls() -> None:
    """Find out again which function a call is."""
    _known.clear()


def _size_of(target: Any, of: Any) -> int:
    """As Numba's, which writes a module for LLVM to read, for each variable."""
    name = str(of)
    if name not in _sizes:
        _sizes[name] = of.get_abi_size(target.target_data)
    return _sizes[name]


def _call_of_builtin(self: Any, context: Any, args: Any, kws: Any) -> Any:
    """The signature of a builtin function (such as `+`) for numbers and records. Numba tries dozens of candidates, twice for each call: 15 % of the time."""
    if _Compiler.at_work is None or kws or not all(isinstance(one, _PLAIN) for one in args):
        return _resolve_builtin(self, context, args, kws)
    key = _Compiler.at_work, id(self), tuple(args)
    if key not in _known:
        signature = _resolve_builtin(self, context, args, kws)
        _known[key] = signature, self._impl_keys[signature.args], self  # which keeps its id
        return signature
    signature, self._impl_keys[signature.args], _ = _known[key]
    return signature


def _call_of_compiled(self: Any, context: Any, args: Any, kws: Any) -> Any:
    """The signature of a function that is compiled for just these types. Numba makes a class for each call, and rates all signatures: 4 % of the time."""
    compiled = None if _Compiler.at_work is None or kws else self.dispatcher.overloads.get(tuple(args))
    if compiled is None:
        return _resolve_compiled(self, context, args, kws)
    return compiled.signature.replace(pysig=self.dispatcher._compiler.pysig)


def _only_when_outside(refresh: Callable[[Any], None]) -> Callable[[Any], None]:
    """Before each function, contexts look whether anything was registered since: 4 % of the time. While kernels compile kernels, nothing was."""

    def refresh_now(self: Any) -> None:
        if not _Compiler.begins_inside:
            refresh(self)

    return refresh_now


def _return_exception(self: Any, builder: Any, exc: Any, exc_args: Any = None, *where: Any, **named: Any) -> None:
    """As Numba's, which tells the line of a `raise`, and not of an index out of range. `where`: a place and a name, which divisions by zero give in order."""
    if not where and not named and hasattr(builder, "line"):
        where = builder.line
    _return_user_exc(self, builder, exc, exc_args, *where, **named)


CPUCallConv.return_user_exc = _return_exception
types.BaseFunction.get_call_type, types.Dispatcher.get_call_type = _call_of_builtin, _call_of_compiled
for one in (CPUContext, Context):
    one.refresh = _only_when_outside(one.refresh)
