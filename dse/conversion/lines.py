"""Lines: where in the user's code a layer is called, or made, or where an error came from."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

_OWN = (str(Path(torch.__file__).parent), str(Path(__file__).parent), "<")
_made: WeakKeyDictionary[nn.Module, str] = WeakKeyDictionary()


@contextmanager
def noted() -> Iterator[None]:
    """Inside, it is noted where each module is made.

    A model that is `nn.Sequential` alone has no forward pass of its own to name lines of.
    """
    plain = nn.Module.__init__

    def noting(self: nn.Module, *args: Any, **kwargs: Any) -> None:
        plain(self, *args, **kwargs)
        _made[self] = calling_line()

    nn.Module.__init__ = noting  # type: ignore[method-assign]
    try:
        yield
    finally:
        nn.Module.__init__ = plain  # type: ignore[method-assign]


def made_at(module: nn.Module) -> str:
    """`file.py:12`, if somebody noted it."""
    return _made.get(module, "")


def forward_at(module: nn.Module) -> str:
    """`file.py:12`, where its forward pass begins, if that is the user's own."""
    code = getattr(type(module).forward, "__code__", None)
    if code is None or code.co_filename.startswith(_OWN):
        return ""
    return f"{Path(code.co_filename).name}:{code.co_firstlineno}"


def calling_line(last: CodeType | None = None) -> str:
    """`file.py:12`, the innermost line outside of PyTorch and of this package.

    last : of the function behind which nobody is to be named
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code is not last:
        if not frame.f_code.co_filename.startswith(_OWN):
            return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
        frame = frame.f_back
    return ""


def line_of(error: BaseException) -> str:
    """` (file.py:12)`, the innermost line of its traceback outside of PyTorch and this package."""
    found, step = "", error.__traceback__
    while step is not None:
        file = step.tb_frame.f_code.co_filename
        if not file.startswith(_OWN):
            found = f" ({Path(file).name}:{step.tb_lineno})"
        step = step.tb_next
    return found
