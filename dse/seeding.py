"""Seeding: one number from which every random choice of a trial follows."""

from __future__ import annotations

import hashlib
import random

import numpy as np


def trial_seed(study_seed: int, number: int) -> int:
    """The seed of a trial, 0 .. 2^31 - 1: a hash, the same on every version and machine."""
    digest = hashlib.sha256(f"{study_seed}:{number}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def seed_everything(seed: int) -> None:
    """Seed the generators of Python, NumPy and PyTorch, and pick deterministic GPU kernels.

    Two runs agree bit by bit if they also use the same number of threads: sums change their order
    with it.
    seed : 0 .. 2^32 - 1, which is what NumPy takes
    """
    # here, so that a plan can name its seeds without loading torch
    import torch

    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - the global generator, for libraries that draw from it
    torch.manual_seed(seed)
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
