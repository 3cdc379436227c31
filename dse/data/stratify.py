"""Stratify: draw samples so that every class keeps its share, the same for the same key."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dse.data.official import Labels


def draw(labels: Labels, count: int, key: Sequence[int]) -> npt.NDArray[np.intp]:
    """Positions of `count` samples, ascending; the classes keep their shares to within one sample.

    labels : (N,) int64      count : 0 .. N      key : integers >= 0, the seed

    Works on the raw 64-bit stream of PCG64, which NumPy promises never to change (NEP 19), so a
    key draws the same samples with every release of NumPy.
    """
    random = np.random.PCG64(np.random.SeedSequence(list(key))).random_raw(len(labels))
    classes, sizes = np.unique(labels, return_counts=True)
    chosen = [np.empty(0, np.intp)]
    for label, quota in zip(classes, shares(sizes.tolist(), count), strict=True):
        members = np.flatnonzero(labels == label)
        order = np.argsort(random[members], kind="stable")
        chosen.append(members[order[:quota]])
    return np.sort(np.concatenate(chosen))


def shares(sizes: Sequence[int], count: int) -> list[int]:
    """Whole numbers in proportion to `sizes` that add up to `count` (largest remainder first).

    >>> shares([50, 30, 20], 5)
    [3, 1, 1]
    """
    total = sum(sizes)
    quotas = [count * size // total for size in sizes]
    by_remainder = sorted(range(len(sizes)), key=lambda i: (-(count * sizes[i] % total), i))
    for i in by_remainder[: count - sum(quotas)]:
        quotas[i] += 1
    return quotas
