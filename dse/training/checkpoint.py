"""Checkpoint: weights on disk as safetensors, whole or not at all, and checked when read."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from dse.errors import CheckpointError
from dse.safefile import write_atomically

DIGEST = "sha256"


def save_weights(model: nn.Module, path: Path) -> None:
    """Write all parameters and buffers of a model.

    The file appears complete or not at all, and is on the disk when this returns.
    """
    tensors = {name: _plain(tensor) for name, tensor in model.state_dict().items()}
    content = save(tensors, metadata={DIGEST: _digest(tensors)})
    write_atomically(path, content)


def load_weights(model: nn.Module, path: Path) -> None:
    """Read what `save_weights` wrote into a model of the same build, which stays on its device.

    Raises CheckpointError if the file is missing or damaged, or is of another model (every
    difference at once); the model is then as it was.
    """
    tensors = _read(path)
    expected = model.state_dict()
    mistakes = _differences(expected, tensors)
    if mistakes:
        raise CheckpointError("\n".join(f"{path}: {mistake}" for mistake in mistakes))
    model.load_state_dict(tensors)


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file: must be weights saved as safetensors")
    try:
        with safe_open(path, framework="pt") as file:
            digest = (file.metadata() or {}).get(DIGEST)
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except SafetensorError as error:
        raise CheckpointError(
            f"{path}: damaged ({error}): must be weights saved as safetensors"
        ) from error
    if digest is not None and digest != _digest(tensors):
        raise CheckpointError(f"{path}: damaged: its values are not those that were saved")
    return tensors


def _differences(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> list[str]:
    mistakes = [f"{name}: missing" for name in expected if name not in found]
    mistakes += [f"{name}: not in the model" for name in found if name not in expected]
    for name, tensor in expected.items():
        other = found.get(name, tensor)
        if (other.shape, other.dtype) != (tensor.shape, tensor.dtype):
            mistakes.append(
                f"{name}: {other.dtype} {tuple(other.shape)}: "
                f"must be {tensor.dtype} {tuple(tensor.shape)}"
            )
    return mistakes


def _plain(tensor: Tensor) -> Tensor:
    """A copy of its own, which shares no memory, on the CPU and in one piece."""
    return tensor.detach().cpu().clone(memory_format=torch.contiguous_format)


def _digest(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
