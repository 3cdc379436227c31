"""Networks of few bits learn handwritten digits, and remember their steps."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dse.data import splits
from dse.design import Design
from dse.seeding import seed_everything
from dse.training.checkpoint import load_weights, save_weights
from dse.training.loop import TrainingSettings, train
from dse.variants import family

SETTINGS = TrainingSettings(
    epochs=6,
    batch_size=32,
    learning_rate=0.01,
    weight_decay=1e-3,
    label_smoothing=0.0,
    grad_clip=5.0,
)


def build(variant: str, architecture: str = "convnet", **knobs) -> nn.Module:
    return family.load(variant).build(Design.of(variant, architecture, knobs), (1, 8, 8), 10)


def digits_read(variant: str, seed: int = 0, **knobs) -> float:
    """Share of held-out digits that a small trained network reads."""
    data = splits.load("digits", data_dir=None, validation=0.2, samples=None, seed=0)
    print(f"seed {seed}")
    seed_everything(seed)
    model = build(variant, "mlp", **knobs)
    *_, last = train(
        model,
        data.train.images,
        data.train.labels,
        data.validation.images,
        data.validation.labels,
        SETTINGS,
        seed,
    )
    return last.validation_accuracy


@pytest.mark.slow
def test_eight_bits_read_digits_as_well_as_real_numbers() -> None:
    assert digits_read("qann") >= digits_read("ann") - 0.015


@pytest.mark.slow
@pytest.mark.parametrize("bits", [1, 2])
def test_very_few_bits_still_read_digits(bits: int) -> None:
    assert digits_read("qann", weight_bits=bits, activation_bits=bits) >= 0.93


@pytest.mark.slow
@pytest.mark.parametrize(
    "knobs",
    [
        {"scale": "none"},
        {"activation_gradient": "quadratic"},
        {"activations": "step"},
        {"activations": "step", "activation_gradient": "quadratic"},
        {"activations": "real", "scale": "none"},
        {"activations": "real"},
        {"weights": "real"},
        {"weights": "real", "activations": "step"},
        {"edge": "real"},
        {"edge": "8-bit"},
    ],
    ids=str,
)
def test_every_way_of_a_bnn_reads_digits(knobs: dict[str, str]) -> None:
    assert digits_read("bnn", **knobs) >= 0.9


def noise(samples: int, generator: torch.Generator) -> Tensor:
    return torch.rand(samples, 1, 8, 8, generator=generator)


def test_a_qann_goes_on_from_its_file_as_if_it_had_never_stopped(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(5)
    images = noise(16, generator)
    torch.manual_seed(6)
    model = build("qann", weight_bits=3, activation_bits=2)
    model.train()(images)
    path = tmp_path / "weights.safetensors"
    save_weights(model, path)
    torch.manual_seed(7)
    other = build("qann", weight_bits=3, activation_bits=2)
    load_weights(other, path)
    others = noise(16, generator) * 3
    assert torch.equal(other.train()(others), model.train()(others))
    assert torch.equal(other.eval()(images), model.eval()(images))


def test_steps_of_a_qann_are_not_decayed_and_move_by_shares() -> None:
    images = np.random.default_rng(0).random((64, 1, 8, 8), dtype=np.float32)
    labels = np.arange(64) % 10
    seed_everything(1)
    model = build("qann")
    before = {name: p.item() for name, p in model.named_parameters() if "log_step" in name}
    list(train(model, images, labels, images, labels, SETTINGS, 1))
    # at most the learning rate an update, 12 updates; nothing pulls them to step 1
    for name, parameter in model.named_parameters():
        if name in before and "input" not in name:
            assert 0 < abs(parameter.item() - before[name]) < 12 * SETTINGS.learning_rate
