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
DOCUMENT = "document"


def save_weights(model: nn.Module, path: Path) -> None:
    """Write all parameters and buffers of a model.

    The file appears complete or not at all, and is on the disk when this returns. Raises
    CheckpointError if it cannot be written.
    """
    write(path, {name: plain(tensor) for name, tensor in model.state_dict().items()})


def load_weights(model: nn.Module, path: Path) -> None:
    """Read what `save_weights` wrote into a model of the same build, which stays on its device.

    Raises CheckpointError if the file is missing or damaged, or is of another model (every
    difference at once); the model is then as it was.
    """
    tensors, _ = read(path)
    expected = model.state_dict()
    mistakes = differences(expected, tensors)
    if mistakes:
        raise CheckpointError("\n".join(f"{path}: {mistake}" for mistake in mistakes))
    model.load_state_dict(tensors)


def write(path: Path, tensors: Mapping[str, Tensor], document: str = "") -> None:
    """Write tensors that `plain` has made, and a text, under one checksum; whole or not at all.

    Raises CheckpointError, with the way out, if the disk does not take them.
    """
    metadata = {DIGEST: digest(tensors, document)}
    if document:
        metadata[DOCUMENT] = document
    content = save(dict(tensors), metadata=metadata)
    try:
        write_atomically(path, content)
    except OSError as error:
        raise CheckpointError(
            f"{path}: {len(content):,} bytes cannot be written: {error.strerror or error}: there "
            "must be room, and leave to write; what was there before is untouched"
        ) from error


def read(path: Path) -> tuple[dict[str, Tensor], str]:
    """What `write` wrote. Raises CheckpointError if the file is missing or damaged."""
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file: must be weights saved as safetensors")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path}: damaged, or of another kind ({error}): must be weights saved as safetensors, "
            "by safetensors.torch.save_file(model.state_dict(), PATH)"
        ) from error
    document = metadata.get(DOCUMENT, "")
    if metadata.get(DIGEST) not in (None, digest(tensors, document)):
        raise CheckpointError(f"{path}: damaged: its values are not those that were saved")
    return tensors, document


def differences(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> list[str]:
    """How tensors differ from those that are expected, in name, shape or type; a line each."""
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


def plain(tensor: Tensor) -> Tensor:
    """A copy of its own, which shares no memory, on the CPU and in one piece."""
    return tensor.detach().cpu().clone(memory_format=torch.contiguous_format)


def digest(tensors: Mapping[str, Tensor], document: str = "") -> str:
    """SHA-256 of names and values, and of a text."""
    found = hashlib.sha256()
    for name in sorted(tensors):
        found.update(name.encode())
        found.update(tensors[name].reshape(-1).view(torch.uint8).numpy().data)
    found.update(document.encode())
    return found.hexdigest()
