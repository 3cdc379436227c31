"""Build hook: compiles the counting kernel with the machine's C compiler, where there is one.

Without a compiler the package is complete as well: counting then runs in PyTorch, to the same
numbers (`dse/counting/activity.py`).
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

SOURCE = Path("dse/counting/kernel.c")
LIBRARY = SOURCE.with_name("libkernel.so")


class KernelHook(BuildHookInterface):  # type: ignore[type-arg]
    """Puts `libkernel.so` beside its source, and into the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile; a wheel that holds the result is for this platform only."""
        root = Path(self.root)
        target = root / LIBRARY
        target.unlink(missing_ok=True)
        if not _compile(root / SOURCE, target):
            self.app.display_warning(
                "no C compiler that works: counting will run in PyTorch alone, to the same numbers"
            )
            return
        build_data["artifacts"].append(str(LIBRARY))
        build_data["pure_python"] = False
        name = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"py3-none-{name}"


def _compile(source: Path, target: Path) -> bool:
    named = os.environ.get("CC", "").split()
    compilers = [named] if named else [[name] for name in ("cc", "gcc", "clang")]
    if platform.system() == "Windows":
        return False  # its compilers take other options
    for compiler in compilers:
        if shutil.which(compiler[0]) is None:
            continue
        for options in ([], ["-DDSE_PLAIN"]):  # the second: without a version for each processor
            command = [*compiler, "-O3", "-shared", "-fPIC", *options, "-o", target, source]
            done = subprocess.run(command, capture_output=True, check=False)
            if done.returncode == 0:
                return True
    return False
