import random
import subprocess
import sys

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from dse.seeding import seed_everything, trial_seed


def test_seeds_stay_what_they_were() -> None:
    # the first 31 bits of `printf '0:0' | sha256sum`, and of "7:12"
    assert trial_seed(0, 0) == 0xAC72368A >> 1
    assert trial_seed(7, 12) == 0x0D623623 >> 1


@given(st.integers(0, 2**63), st.integers(0, 10**9))
def test_seeds_are_31_bits_for_numpy_and_torch(study_seed: int, number: int) -> None:
    assert 0 <= trial_seed(study_seed, number) < 2**31


def test_neighbours_do_not_share_seeds() -> None:
    seeds = {trial_seed(study, number) for study in range(20) for number in range(500)}
    assert len(seeds) == 20 * 500
    assert trial_seed(1, 23) != trial_seed(12, 3)


def test_every_generator_is_seeded() -> None:
    def draw() -> tuple[float, float, float]:
        return random.random(), float(np.random.rand()), float(torch.rand(()))  # noqa: NPY002

    seed_everything(5)
    first = draw()
    seed_everything(5)
    assert draw() == first
    seed_everything(6)
    assert all(a != b for a, b in zip(draw(), first, strict=True))


def test_naming_a_seed_needs_no_torch() -> None:
    code = "import sys; from dse.seeding import trial_seed; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
