"""NIR files: graphs on the disk as HDF5, written whole or not at all, read from strangers.

The package `nir` itself is not needed: from version 1.0.4 on it reads what is written here.
"""

from __future__ import annotations

import importlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dse.errors import AskedWrongly, InterchangeFailure
from dse.interchange import hdf5
from dse.interchange.graph import Graph
from dse.interchange.nodes import Difference, differences, to_tree
from dse.interchange.parsing import parsed
from dse.safefile import write_atomically

_SMALL = 256  # values: fewer are not worth a compression


def write(graph: Graph, path: Path) -> list[Difference]:
    """Write a graph; what readers of NIR that do not know us would do otherwise.

    Raises InterchangeFailure for a graph that NIR cannot say, AskedWrongly without h5py, and
    OSError if the disk does not take it.
    """
    tree = to_tree(graph)
    content = io.BytesIO()
    with _h5py().File(content, "w") as file:
        _fill(file, tree)
    write_atomically(path, content.getvalue())
    return differences(graph)


def read(path: Path, *, time_steps: int | None = None, step_s: float | None = None) -> Graph:
    """The graph in a file, of us or of a stranger.

    time_steps, step_s : T, and the seconds of a step of Euler's method, for a file that was not
        written here and does not say them
    Raises InterchangeFailure, with the name of the file, for one that is damaged, too large, or
    holds what is not known here; AskedWrongly without h5py.
    """
    _h5py()
    if not path.is_file():
        raise InterchangeFailure(f"{path}: no such file: must be a NIR file")
    try:
        return parsed(hdf5.read(path.absolute()), time_steps=time_steps, step_s=step_s)
    except (InterchangeFailure, hdf5.Refused) as failure:
        raise InterchangeFailure(f"{path}: {failure}") from failure


def _h5py() -> Any:
    try:
        return importlib.import_module("h5py")
    except ModuleNotFoundError as error:
        raise AskedWrongly(
            "NIR files: the package h5py is missing: must be installed, with pip install '.[nir]'"
        ) from error


def _fill(group: Any, tree: Mapping[str, Any]) -> None:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            _fill(group.create_group(name), value)
        elif isinstance(value, np.ndarray) and value.size >= _SMALL:
            group.create_dataset(name, data=value, compression="gzip")
        else:
            group.create_dataset(name, data=value)
