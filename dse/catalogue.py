"""Catalogue: the names of a room are the names of its files, and a name opens its file."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

from dse.errors import ConfigError
from energy_models.errors import nearest


def names(package: str, *, without: tuple[str, ...] = ()) -> list[str]:
    """Names that a user may say for the files of a package: `fashion-mnist` for `fashion_mnist`."""
    room = importlib.import_module(package)
    files = (module.name for module in pkgutil.iter_modules(room.__path__))
    return sorted(name.replace("_", "-") for name in files if name not in without)


def load(package: str, name: str, member: str, *, without: tuple[str, ...] = ()) -> Any:
    """The object `member` of the file that a name stands for.

    Raises ConfigError, with the nearest name, if there is no such file.
    """
    known = names(package, without=without)
    if name not in known:
        kind = package.rpartition(".")[2]
        raise ConfigError(f'{kind}: "{name}" is unknown.{nearest(name, known)}')
    module = importlib.import_module(f"{package}.{name.replace('-', '_')}")
    return getattr(module, member)
