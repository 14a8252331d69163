"""How long a start takes: the import, the first run of the standard example, the next one, one with an edited line; and what compiling consists of.

    python benchmarks/startup.py

Times of the runs are of the wall and of the processor, both processes together. The parts are processor time of the engine's units in one process.
Modules lie there as bytecode, as pip leaves them: Python's own compiling of Tapeline's modules takes half a second.
"""

import compileall
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import tapeline as tl
from tapeline.feeds.synth import SynthConfig, write_synth

EXAMPLE = Path(__file__).parents[1] / "examples" / "touch_maker.py"
PARTS_ALONE = "parts"
"""In a process of its own: where compiled code is kept is settled when the first of it is imported."""
PARTS = {
    "TranslateByteCode": "bytecode to Numba's form",
    "_Prepare": "rewriting, SSA",
    "NopythonTypeInference": "types",
    "NativeLowering": "lowering to LLVM",
    "_optimize_final_module": "LLVM: optimisation",
    "_finalize_final_module": "LLVM: machine code",
}


def timed(command: list[Any], environment: dict[str, str]) -> tuple[float, float]:
    """Seconds of the wall, and of the processor."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, env=environment, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter() - begun, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def parts() -> None:
    """Compile the second process's half, and print what each part of it took."""
    from tapeline import compiler, machine_code, precompile  # noqa: PLC0415 - only here

    seconds, inner = Counter[str](), [0.0]

    def measured(name: str, function: Any, *args: Any) -> Any:
        begun = time.process_time()
        inner.append(0.0)
        try:
            return function(*args)
        finally:
            took = time.process_time() - begun
            seconds[PARTS.get(name, "the rest")] += took - inner.pop()
            inner[-1] += took

    run_pass = compiler._KernelPasses._runPass
    compiler._KernelPasses._runPass = lambda self, i, one, state: measured(type(one).__name__, run_pass, self, i, one, state)
    for name in ("_optimize_final_module", "_finalize_final_module"):
        method = getattr(machine_code.Library, name)
        setattr(machine_code.Library, name, lambda self, name=name, method=method: measured(name, method, self))
    for dispatcher, types in precompile._units():
        measured("", dispatcher.compile, types)  # type: ignore[attr-defined]
    total = seconds.total()
    for part, took in seconds.most_common():
        print(f"{part:28} {took:6.2f} s {took / total:6.0%}")


def main() -> None:
    """Measure and print."""
    compileall.compile_dir(Path(tl.__file__).parent, quiet=1)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "small.dbn"
        write_synth(data, SynthConfig(records=2_000, seed=7))

        def run(strategy: Path, output: str) -> list[Any]:
            command = [sys.executable, "-m", "tapeline", "run", f"{strategy}:TouchMaker", data, "--tick-size", "0.25", "--multiplier", "50"]
            return [*command, "-o", Path(folder) / output]

        environment = os.environ | {"TAPELINE_CACHE": str(Path(folder) / "cache")}
        edited = Path(folder) / "edited.py"
        edited.write_text(EXAMPLE.read_text(encoding="utf-8").replace("self.position_max", "2 * self.position_max"), encoding="utf-8")
        commands = {
            "import tapeline": [sys.executable, "-c", "import tapeline"],
            "first run": run(EXAMPLE, "1"),
            "second run": run(EXAMPLE, "2"),
            "run of an edited strategy": run(edited, "3"),
        }
        for name, command in commands.items():
            wall, processor = timed(command, environment)
            print(f"{name:28} {wall:6.2f} s {processor:6.2f} s of the processor")
        of_parts = environment | {"TAPELINE_CACHE": str(Path(folder) / "other")}
        subprocess.run([sys.executable, __file__, PARTS_ALONE], env=of_parts, check=True)


if __name__ == "__main__":
    parts() if sys.argv[1:] == [PARTS_ALONE] else main()
