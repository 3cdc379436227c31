"""Frames of events: each step of a network sees its own, in training, reading and counting."""

import numpy as np
import pytest
import torch

from dse.counting.count import count
from dse.design import Design
from dse.errors import BuildFailure
from dse.networks.encoding import Encoding
from dse.training.augment import augmented
from dse.training.loop import train
from dse.training.settings import TrainingSettings
from dse.variants import family

STEPS, CLASSES = 5, 3
SHAPE = (STEPS, 2, 8, 8)


def events(samples: int = 6) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return (torch.rand(samples, *SHAPE, generator=generator) < 0.3).float()


def network(architecture: str = "convnet", time_steps: int = STEPS, **knobs):
    design = Design.of(
        "snn", architecture, {"width": 0.25, "time_steps": time_steps, "threshold": 0.3, **knobs}
    )
    torch.manual_seed(0)
    return family.load("snn").build(design, SHAPE, CLASSES)


@pytest.mark.parametrize("architecture", ["convnet", "mlp", "resnet20"])
@pytest.mark.parametrize("is_training", [True, False])
def test_frames_that_are_all_alike_are_an_image(architecture: str, is_training: bool) -> None:
    model = network(architecture).train(is_training)
    image = events()[:, 0]
    alike = image[:, None].expand(-1, STEPS, -1, -1, -1)
    torch.testing.assert_close(model(alike), model(image), rtol=1e-4, atol=1e-5)


def test_each_step_sees_its_own_frame() -> None:
    model = network(output="every-step").eval()
    before = model.logits_by_step(events())
    changed = events()
    changed[:, 3] = 1 - changed[:, 3]
    after = model.logits_by_step(changed)
    torch.testing.assert_close(after[:3], before[:3])
    assert not torch.allclose(after[3:], before[3:])


def test_fewer_steps_are_the_first_ones() -> None:
    model = network(output="every-step").eval()
    whole = model.logits_by_step(events())
    model.time_steps = 2
    torch.testing.assert_close(model(events()), whole[:2].mean(0))
    torch.testing.assert_close(model(events()[:, :2]), whole[:2].mean(0))


def test_the_kernel_and_its_twin_agree() -> None:
    model = network().eval()
    fused = model(events())
    for module in model.modules():
        module.register_forward_hook(lambda *_: None)  # who watches gets plain operators
    torch.testing.assert_close(model(events()), fused, rtol=1e-4, atol=1e-5)


def test_the_first_layer_is_counted_at_every_step() -> None:
    model = network("mlp", depth=1).eval()
    batch = events()
    counts = count(model, batch)
    hidden = model.layers[0].synapse.out_features
    assert counts.time_steps == STEPS
    first = next(row for row in counts.layers if row.name == "layers.0.synapse")
    # unit spikes into real weights: an accumulate each and per neuron; dense: all inputs and steps
    assert first.ops.ac * len(batch) == pytest.approx(float(batch.sum()) * hidden)
    assert first.ops.dense_ac == STEPS * 2 * 8 * 8 * hidden
    assert first.ops.mac == 0
    real = count(model, batch * torch.rand(batch.shape, generator=torch.Generator().manual_seed(1)))
    first = next(row for row in real.layers if row.name == "layers.0.synapse")
    assert first.ops.mac * len(batch) == pytest.approx(float(batch.sum()) * hidden)
    assert first.ops.dense_mac == STEPS * 2 * 8 * 8 * hidden


def test_more_steps_than_frames_are_refused() -> None:
    with pytest.raises(BuildFailure, match="time_steps 6 is above the 5 steps of the data"):
        network(time_steps=6)
    model = network()
    with pytest.raises(BuildFailure, match="frames of 3 steps: must be 5 at least"):
        model(events()[:, :3])


@pytest.mark.parametrize("variant", ["ann", "bnn", "qann", "s2nn"])
def test_a_family_without_steps_takes_no_frames(variant: str) -> None:
    assert not family.load(variant).takes_events
    with pytest.raises(BuildFailure, match="must be"):
        family.load(variant).build(Design.of(variant, "convnet", {}), SHAPE, CLASSES)


def test_codings_hold_for_each_frame() -> None:
    values = torch.rand(4, *SHAPE, generator=torch.Generator().manual_seed(2))
    expected = (values[:, :3] >= 0.5).float().transpose(0, 1).flatten(0, 1)
    coded, steps = Encoding("binary")(values, 3)
    assert steps == 3
    torch.testing.assert_close(coded, expected)
    drawn, steps = Encoding("poisson").eval()(torch.ones(4, *SHAPE), 3)
    assert (drawn.shape, steps) == ((12, *SHAPE[1:]), 3)
    assert drawn.min() == 1  # a value of 1 is a spike for certain


def settings(**more) -> TrainingSettings:
    return TrainingSettings(
        **{"epochs": 3, "batch_size": 8, "learning_rate": 0.01, "weight_decay": 0.0,
           "label_smoothing": 0.0, "grad_clip": 5.0, **more}
    )  # fmt: skip


def test_all_frames_of_a_sample_are_changed_alike() -> None:
    still = events(1)[:, :1].expand(16, STEPS, -1, -1, -1)
    generator = torch.Generator().manual_seed(0)
    changed = augmented(still, settings(augment=("flip", "shift", "cutout")), generator)
    assert changed.shape == still.shape
    assert (changed == changed[:, :1]).all()
    assert not (changed == still).all()


def test_they_are_learnt_from_when_only_the_order_tells() -> None:
    # two classes of the same two frames in another order: their sum says nothing
    random = np.random.default_rng(0)
    labels = np.arange(64) % 2
    images = np.zeros((64, 4, 1, 6, 6), np.float32)
    images[:, 0, :, :3] = images[:, 3, :, 3:] = 1
    images[labels == 1] = images[labels == 1, ::-1]
    images = np.where(random.random(images.shape) < 0.05, 1 - images, images)
    torch.manual_seed(0)
    design = Design.of("snn", "mlp", {"width": 0.25, "depth": 1, "time_steps": 4, "leak": 0.5})
    model = family.load("snn").build(design, images.shape[1:], 2)
    *_, last = train(model, images, labels, images, labels, settings(epochs=20, mixup=0.1), seed=0)
    assert last.validation_accuracy > 0.9
