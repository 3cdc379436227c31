"""Usercode: a function of the user's own in a Python file: what it takes, and the function.

What it takes is read from the text of the file, without running it. To load it is to run the file:
a Python file is as free as a program that the user starts.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dse.errors import TargetError
from energy_models.errors import nearest

_MOST_BYTES = 1 << 20  # a file of code has some kB


@dataclass(frozen=True, slots=True)
class Signature:
    """What a function takes by keyword.

    names : all of them      required : those without a default      takes_any : it has `**kwargs`
    """

    names: tuple[str, ...]
    required: tuple[str, ...]
    takes_any: bool


def is_target(text: str) -> bool:
    """Does it look like `file.py:name`?"""
    place, colon, name = text.rpartition(":")
    return bool(colon) and place.endswith(".py") and name.isidentifier()


def signature(target: str) -> Signature | None:
    """What `file.py:name` takes, from the text of the file; None where the text does not say.

    Raises TargetError if there is no such file, it is no Python, or it has no such name.
    """
    place, _, name = target.rpartition(":")
    tree = _parsed(Path(place))
    found = list(_bound(tree.body))
    node = next((node for bound, node in reversed(found) if bound == name), None)
    if isinstance(node, ast.FunctionDef):
        return _of_arguments(node.args)
    if any(bound in (name, "*", "__getattr__") for bound, _ in found):
        return None  # a class, an import or a value: only running it tells
    public = list(dict.fromkeys(bound for bound, _ in found if not bound.startswith("_")))
    raise TargetError(f"{place}: has no {name}.{nearest(name, public)}")


def fingerprint(target: str) -> str:
    """Of the file of `file.py:name`, but not of what it imports.

    Raises TargetError if it cannot be read.
    """
    place = target.rpartition(":")[0]
    try:
        return hashlib.sha256(Path(place).read_bytes()).hexdigest()
    except OSError as error:
        raise TargetError(f"{place}: cannot be read: {error.strerror or error}") from error


def load(path: Path, name: str) -> Any:
    """The callable of that name, after the file was run.

    Raises TargetError if there is none. What the file raises goes through.
    """
    return member(module_of(path), name, str(path))


def member(module: Any, name: str, place: str) -> Any:
    """A callable of a module. Raises TargetError if it has none of that name."""
    found = getattr(module, name, None)
    if not callable(found):
        known = sorted(
            key for key, value in vars(module).items() if callable(value) and key[0] != "_"
        )
        raise TargetError(f"{place}: has no callable {name}. It has: {', '.join(known) or 'none'}")
    return found


def module_of(path: Path) -> Any:
    """A file, run as a module. Raises TargetError if there is none, or it is no Python."""
    if not path.is_file():
        raise TargetError(f"{path}: no such file")
    # a name of its own: a file called copy.py must not become the copy module of everybody
    specification = importlib.util.spec_from_file_location(f"_dse_target_{path.stem}", path)
    if specification is None or specification.loader is None:
        raise TargetError(f"{path}: is not a Python file")
    module = importlib.util.module_from_spec(specification)
    # for its neighbours; last, so that they replace nothing
    sys.path.append(str(path.parent.resolve()))
    sys.modules[specification.name] = module
    try:
        specification.loader.exec_module(module)
    except SyntaxError as error:
        raise TargetError(f"{path}:{error.lineno}: {error.msg}") from error
    return module


def blame(error: BaseException, path: Path) -> str:
    """`file.py:12: ValueError: what it said`, with the last line of that file that was running."""
    frames = traceback.extract_tb(error.__traceback__)
    own = path.resolve()
    lines = [frame.lineno for frame in frames if Path(frame.filename).resolve() == own]
    where = f"{path}:{lines[-1]}" if lines else str(path)
    return f"{where}: {type(error).__name__}: {error}"


def _parsed(path: Path) -> ast.Module:
    if not path.is_file():
        raise TargetError(f"{path}: no such file")
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise TargetError(f"{path}: cannot be read: {error.strerror or error}") from error
    if len(content) > _MOST_BYTES:
        raise TargetError(f"{path}: is larger than {_MOST_BYTES:,} bytes. Is it a file of code?")
    try:
        return ast.parse(content, str(path))
    except SyntaxError as error:
        where = f"{path}:{error.lineno}" if error.lineno else str(path)
        raise TargetError(f"{where}: {error.msg}") from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise TargetError(f"{path}: is not a Python file: {error}") from error


def _bound(body: Sequence[ast.stmt]) -> Iterator[tuple[str, ast.stmt]]:
    """The names that statements give to a module, each with its statement."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, node
            continue
        for inner in ast.walk(node) if not _parts(node) else ():
            if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
                yield inner.id, node
            elif isinstance(inner, ast.alias):
                yield (inner.asname or inner.name).partition(".")[0], node
        for part in _parts(node):
            yield from _bound(part)


def _parts(node: ast.stmt) -> list[Sequence[ast.stmt]]:
    """The blocks of a statement that has some: if, try, with, for, while."""
    parts = [getattr(node, key, []) for key in ("body", "orelse", "finalbody")]
    parts += [handler.body for handler in getattr(node, "handlers", [])]
    return [part for part in parts if part]


def _of_arguments(arguments: ast.arguments) -> Signature:
    by_place = [*arguments.posonlyargs, *arguments.args]
    bare = by_place[: len(by_place) - len(arguments.defaults)]
    bare += [
        one
        for one, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        if default is None
    ]
    named = [*arguments.args, *arguments.kwonlyargs]
    return Signature(
        names=tuple(one.arg for one in named),
        required=tuple(one.arg for one in bare),
        takes_any=arguments.kwarg is not None,
    )
