"""Resume: all that a training needs to go on bit by bit, in one file without pickle."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from dse.errors import CheckpointError
from dse.safefile import remove_leftovers
from dse.training.checkpoint import differences, plain, read, write

_FORMAT = 1
_MODEL, _OPTIMIZER, _GENERATOR = "model.", "optimizer.", "generator."


@dataclass(frozen=True, slots=True)
class Parts:
    """What moves in a training, apart from the generators that the whole process shares.

    generators : those of the training itself, by name
    """

    model: nn.Module
    optimizer: Optimizer
    schedule: LRScheduler
    generators: Mapping[str, Generator]
    device: torch.device


def save(
    path: Path, parts: Parts, identity: Mapping[str, Any], progress: Mapping[str, Any]
) -> None:
    """Write how a training stands, whole or not at all, over what was there.

    identity : what must be the same for the training to go on, as JSON
    progress : what the caller wants to have back, as JSON

    Raises CheckpointError if the disk does not take it.
    """
    state = parts.optimizer.state_dict()
    document = {
        "format": _FORMAT,
        "identity": identity,
        "progress": progress,
        "groups": state["param_groups"],
        "schedule": parts.schedule.state_dict(),
        "python_gauss": random.getstate()[2],
        "numpy_gauss": _numpy_state()[3:],
    }
    moments = {
        f"{_OPTIMIZER}{index}.{key}": plain(value)
        for index, values in state["state"].items()
        for key, value in values.items()
        if value is not None
    }
    weights = {f"{_MODEL}{name}": plain(t) for name, t in parts.model.state_dict().items()}
    tensors = {**weights, **moments, **_generator_states(parts)}
    write(path, tensors, json.dumps(document, allow_nan=False))


def resume(path: Path, parts: Parts, identity: Mapping[str, Any]) -> dict[str, Any] | None:
    """Put a training where `save` left it; its progress, or None if there is no file.

    Raises CheckpointError, before anything is changed, if the file is damaged, or of another
    training (every difference at once).
    """
    remove_leftovers(path)
    if not path.exists():
        return None
    tensors, text = read(path)
    document = _document(path, text)
    mistakes = list(_foreign(document["identity"], json.loads(json.dumps(identity))))
    if not mistakes:
        mistakes = [
            *differences(parts.model.state_dict(), _below(tensors, _MODEL)),
            *differences(_generator_states(parts), _below(tensors, _GENERATOR, is_cut=False)),
            *_strange_moments(parts.optimizer, _below(tensors, _OPTIMIZER)),
        ]
    if mistakes:
        raise CheckpointError(
            "\n".join(f"{path}: is of another training: {mistake}" for mistake in mistakes)
        )
    parts.model.load_state_dict(_below(tensors, _MODEL))
    _restore_optimizer(parts.optimizer, document["groups"], _below(tensors, _OPTIMIZER))
    parts.schedule.load_state_dict(document["schedule"])
    _restore_generators(parts, _below(tensors, _GENERATOR), document)
    progress: dict[str, Any] = document["progress"]
    return progress


def discard(path: Path) -> None:
    """Remove a checkpoint, and what a killed process left of one."""
    path.unlink(missing_ok=True)
    remove_leftovers(path)


def _document(path: Path, text: str) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(text)
        if document["format"] == _FORMAT:
            return document
        found = document["format"]
    except (ValueError, KeyError, TypeError):
        found = "none"
    raise CheckpointError(
        f"{path}: not a checkpoint of a training: its format is {found}: must be {_FORMAT}"
    )


def _foreign(found: Mapping[str, Any], ours: Mapping[str, Any]) -> Iterator[str]:
    for name in (*ours, *(name for name in found if name not in ours)):
        if found.get(name) != ours.get(name):
            yield f"{name} {_short(found.get(name))}: must be {_short(ours.get(name))}"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 400 else f"{text[:400]}..."


def _below(tensors: Mapping[str, Tensor], prefix: str, is_cut: bool = True) -> dict[str, Tensor]:
    start = len(prefix) if is_cut else 0
    return {name[start:]: t for name, t in tensors.items() if name.startswith(prefix)}


def _strange_moments(optimizer: Optimizer, moments: Mapping[str, Tensor]) -> Iterator[str]:
    parameters = _parameters(optimizer)
    for name, tensor in moments.items():
        index = name.partition(".")[0]
        parameter = parameters.get(index)
        if parameter is None or tensor.shape not in ((), parameter.shape):
            yield f"optimizer.{name}: {tuple(tensor.shape)}: fits no parameter"


def _restore_optimizer(
    optimizer: Optimizer, groups: list[dict[str, Any]], moments: Mapping[str, Tensor]
) -> None:
    parameters = _parameters(optimizer)
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in moments.items():
        index, _, key = name.partition(".")
        parameter = parameters[index]
        if tensor.shape == parameter.shape:
            # in the order of the parameter in memory: a fused step walks through both side by side
            tensor = torch.empty_like(parameter, dtype=tensor.dtype).copy_(tensor)
        state.setdefault(int(index), {})[key] = tensor
    for group in groups:
        group.update({key: tuple(v) for key, v in group.items() if key == "betas"})
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _parameters(optimizer: Optimizer) -> dict[str, Tensor]:
    """The parameters under the numbers that a state of the optimizer gives them."""
    every = (parameter for group in optimizer.param_groups for parameter in group["params"])
    return {str(index): parameter.detach() for index, parameter in enumerate(every)}


def _generator_states(parts: Parts) -> dict[str, Tensor]:
    """All generators from which a training may draw: its own, and those of the process."""
    own = {f"own.{name}": one.get_state() for name, one in parts.generators.items()}
    state = {
        **own,
        "torch": torch.get_rng_state(),
        "python": torch.tensor(random.getstate()[1], dtype=torch.int64),
        "numpy": torch.from_numpy(np.append(_numpy_state()[1], _numpy_state()[2]).astype(np.int64)),
    }
    if parts.device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(parts.device)
    return {f"{_GENERATOR}{name}": tensor for name, tensor in state.items()}


def _restore_generators(
    parts: Parts, states: Mapping[str, Tensor], document: Mapping[str, Any]
) -> None:
    for name, generator in parts.generators.items():
        generator.set_state(states[f"own.{name}"])
    torch.set_rng_state(states["torch"])
    random.setstate((3, tuple(states["python"].tolist()), document["python_gauss"]))
    *key, place = states["numpy"].tolist()
    has_gauss, gauss = document["numpy_gauss"]
    np.random.set_state(  # noqa: NPY002 - the global generator, for libraries that draw from it
        ("MT19937", np.array(key, np.uint32), place, has_gauss, gauss)
    )
    if parts.device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], parts.device)


def _numpy_state() -> tuple[Any, ...]:
    return cast("tuple[Any, ...]", np.random.get_state(legacy=True))  # noqa: NPY002 - the global one
