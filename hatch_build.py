"""Build hook: compiles the kernels with the machine's C and C++ compilers, where there are some.

Without a compiler the package is complete as well: counting and neurons then run in PyTorch, to the
same numbers (`dse/counting/activity.py`, `dse/neurons/through_time.py`), only slower.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

COUNTING = Path("dse/counting/kernel.c")
NEURONS = Path("dse/neurons/kernel.cpp")
SHARED = ("-O3", "-shared", "-fPIC")
# Products and sums are rounded apart, so that spikes are those of PyTorch's operators.
STRICT = ("-std=c++17", "-ffp-contract=off", "-fno-math-errno", "-fno-exceptions", "-fno-rtti")
# Arguments that are registers are inlined away, whatever the ABI.
QUIET = ("-Wno-psabi",)


def libraries() -> dict[Path, list[list[str]]]:
    """Each library, and the commands of which the first that works makes it."""
    c, cpp = _compilers("CC", "cc", "gcc", "clang"), _compilers("CXX", "c++", "g++", "clang++")
    counting = COUNTING.with_name("libkernel.so")
    commands = {
        # the second: without a version for each processor
        counting: [
            [*name, *SHARED, *options, "-o", str(counting), str(COUNTING)]
            for name in c
            for options in ([], ["-DDSE_PLAIN"])
        ]
    }
    builds = {"plain": ()}
    if platform.machine().lower() in ("x86_64", "amd64"):
        builds |= {"v3": ("-march=x86-64-v3",), "v4": ("-march=x86-64-v4",)}
    for build, options in builds.items():
        target = NEURONS.with_name(f"libneurons-{build}.so")
        commands[target] = [
            [*name, *SHARED, *STRICT, *QUIET, *options, *threads, "-o", str(target), str(NEURONS)]
            for name in cpp
            for threads in (["-fopenmp"], [])
        ]
    return commands


class KernelHook(BuildHookInterface):  # type: ignore[type-arg]
    """Puts the libraries beside their sources, and into the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile; a wheel that holds a library is for this platform only."""
        root = Path(self.root)
        made = compile_all(root)
        missing = [path.name for path in libraries() if path not in made]
        if missing:
            self.app.display_warning(
                f"no compiler that works for {', '.join(missing)}: PyTorch will do that work, to "
                "the same numbers, but slower"
            )
        if not made:
            return
        build_data["artifacts"] += [str(path) for path in made]
        build_data["pure_python"] = False
        name = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"py3-none-{name}"


def compile_all(root: Path) -> list[Path]:
    """Makes all libraries at the same time, and says which there are."""
    if platform.system() == "Windows":
        return []  # its compilers take other options
    left = libraries()
    for path in left:
        (root / path).unlink(missing_ok=True)
    made: list[Path] = []
    while left:
        running = {
            path: subprocess.Popen(
                commands.pop(0), cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            for path, commands in left.items()
            if commands
        }
        made += [path for path, process in running.items() if process.wait() == 0]
        left = {path: left[path] for path in running if path not in made}
    return made


def _compilers(variable: str, *names: str) -> list[list[str]]:
    named = os.environ.get(variable, "").split()
    return [
        command for command in ([named] if named else [[n] for n in names]) if _is_there(command)
    ]


def _is_there(command: list[str]) -> bool:
    return shutil.which(command[0]) is not None


if __name__ == "__main__":  # `python hatch_build.py` compiles again, in a checkout
    print(*compile_all(Path(__file__).parent), sep="\n")
