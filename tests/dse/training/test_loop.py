from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dse.config import Training
from dse.design import Design
from dse.errors import DataError, DivergedFailure
from dse.seeding import seed_everything
from dse.training.evaluation import accuracy
from dse.training.loop import EpochResult, TrainingSettings, train
from dse.variants import family
from dse.variants.family import LEARNING_RATE

SHIPPED = TrainingSettings(
    **Training(epochs=15).model_dump(), learning_rate=float(LEARNING_RATE.default)
)
SETTINGS = replace(SHIPPED, epochs=2, batch_size=16)


def blobs(samples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images of noise with one bright quarter, which is the label."""
    print(f"seed {seed}")
    generator = np.random.default_rng(seed)
    labels = np.arange(samples) % 4
    images = generator.random((samples, 1, 8, 8), dtype=np.float32) * 0.5
    for image, label in zip(images[:, 0], labels, strict=True):
        row, column = divmod(int(label), 2)
        image[row * 4 : row * 4 + 4, column * 4 : column * 4 + 4] += 0.5
    return images, labels


def build(variant: str, architecture: str = "mlp", **knobs) -> nn.Module:
    return family.load(variant).build(Design.of(variant, architecture, knobs), (1, 8, 8), 4)


def run(
    model: nn.Module, settings: TrainingSettings = SETTINGS, seed: int = 1
) -> list[EpochResult]:
    return list(train(model, *blobs(50, 1), *blobs(20, 2), settings, seed))


@pytest.mark.parametrize("variant", ["ann", "bnn", "qann", "s2nn", "snn"])
def test_an_easy_task_is_learned(variant: str) -> None:
    seed_everything(3)
    model = build(variant, width=0.25)
    results = run(model, replace(SETTINGS, epochs=8))
    assert [result.epoch for result in results] == list(range(1, 9))
    assert results[-1].train_loss < results[0].train_loss
    assert results[-1].validation_accuracy >= 0.9
    assert results[-1].validation_accuracy == accuracy(model, *blobs(20, 2))
    assert all(result.samples_per_s > 0 for result in results)


@pytest.mark.parametrize("variant", ["ann", "bnn", "qann", "s2nn", "snn"])
@pytest.mark.parametrize("architecture", ["convnet", "mlp"])
def test_the_same_seed_gives_the_same_bits(variant: str, architecture: str) -> None:
    weights = []
    for shuffling in (9, 9, 10):
        seed_everything(4)
        model = build(variant, architecture, width=0.25)
        results = run(model, seed=shuffling)
        weights.append((model.state_dict(), [result.train_loss for result in results]))
    (first, losses), (second, again), (_, other) = weights
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert losses == again
    assert losses != other


def test_the_learning_rate_rises_to_its_peak_and_falls_to_nothing() -> None:
    settings = replace(SETTINGS, epochs=10, learning_rate=0.02)
    rates = [result.learning_rate for result in run(build("ann", width=0.1), settings)]
    assert max(rates) == pytest.approx(0.02, rel=0.1)
    assert rates[0] < max(rates)
    assert rates[-1] < 1e-4


def test_a_step_may_have_a_hook_which_keeps_binary_weights_in_reach() -> None:
    seed_everything(0)
    model = build("bnn", width=0.25, depth=2)
    run(model, replace(SETTINGS, learning_rate=1.0))
    latent = model.layers[1].synapse.weight
    assert latent.abs().max() == 1.0


def test_an_incomplete_batch_is_left_out_and_a_small_set_is_one_batch() -> None:
    sizes: list[int] = []

    class Spy(nn.Linear):
        def forward(self, images: Tensor) -> Tensor:
            if self.training:
                sizes.append(len(images))
            return super().forward(images.flatten(1))

    run(Spy(64, 4), replace(SETTINGS, epochs=1, batch_size=16))
    assert sizes == [16, 16, 16]  # of 50
    sizes.clear()
    run(Spy(64, 4), replace(SETTINGS, epochs=2, batch_size=64))
    assert sizes == [50, 50]


def test_a_schedule_that_needs_two_steps_and_a_norm_that_needs_two_images_say_so() -> None:
    once = replace(SETTINGS, epochs=1, batch_size=64)
    with pytest.raises(DataError, match="one-cycle over 1 step: must be 2 steps or more"):
        run(build("ann"), once)
    (result,) = run(build("ann"), replace(once, schedule="constant"))
    assert result.learning_rate == once.learning_rate
    images, labels = blobs(4, 1)
    with pytest.raises(DataError, match="1 image: must be 2 at least"):
        next(train(build("ann"), images[:1], labels[:1], images, labels, SETTINGS, 1))


def test_decay_spares_biases_and_batch_norm() -> None:
    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(2, 2))
            self.bias = nn.Parameter(torch.ones(2))

        def forward(self, images: Tensor) -> Tensor:
            nothing = 0.0 * (self.weight.sum() + self.bias.sum())
            return torch.zeros(len(images), 4) + nothing

    model = Constant()
    run(model, replace(SETTINGS, weight_decay=0.5))
    assert (model.bias == 1).all()
    assert (model.weight < 1).all()


def test_read_only_arrays_and_tensors_are_taken_alike() -> None:
    (images, labels), validation = blobs(48, 1), blobs(16, 2)
    images.flags.writeable = labels.flags.writeable = False
    results = []
    for given in ((images, labels), (torch.tensor(images), torch.tensor(labels))):
        seed_everything(1)
        results += list(train(build("ann", width=0.1), *given, *validation, SETTINGS, 1))
    assert results[0].train_loss == results[2].train_loss


def test_a_loss_that_is_no_number_stops_the_epoch_at_once() -> None:
    images, labels = blobs(50, 1)
    images[:] = np.nan
    with pytest.raises(
        DivergedFailure,
        match=r"training: epoch 1, step 1 of 3: loss is nan .*: must be finite; lower learning",
    ):
        next(train(build("ann"), images, labels, *blobs(4, 2), SETTINGS, 1))


def test_a_gradient_that_is_no_number_does_not_hide_behind_a_finite_loss() -> None:
    class Hidden(nn.Linear):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images.flatten(1)) + (self.weight[0, 0] * 0).sqrt()

    with pytest.raises(
        DivergedFailure, match=r"epoch 1, step 1 of 3: gradient norm is nan \(loss "
    ):
        run(Hidden(64, 4))


def test_a_weight_that_ends_an_epoch_infinite_is_found() -> None:
    class Leaping(nn.Linear):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images.flatten(1))

        def after_step(self) -> None:
            self.bias.data.fill_(np.inf)

    with pytest.raises(DivergedFailure, match=r"epoch 1: bias is no longer finite"):
        run(Leaping(64, 4), replace(SETTINGS, batch_size=50))


def test_an_exploded_loss_ends_the_training_after_two_epochs() -> None:
    class Exploding(nn.Linear):
        steps = 0

        def forward(self, images: Tensor) -> Tensor:
            self.steps += 1
            far = 1e6 * nn.functional.one_hot(torch.zeros(len(images), dtype=int), 4)
            return super().forward(images.flatten(1)) + (far if self.steps > 4 else 0)

    epochs: list[int] = []
    images, labels = blobs(50, 1)
    settings = replace(SETTINGS, epochs=9)
    with pytest.raises(DivergedFailure, match=r"epoch 3: for 2 epochs every loss was above"):
        for result in train(Exploding(64, 4), images, labels, *blobs(20, 2), settings, 1):
            epochs.append(result.epoch)
    assert epochs == [1, 2]


def test_a_bold_training_that_learns_is_left_alone() -> None:
    seed_everything(0)
    assert len(run(build("ann", width=0.25), replace(SETTINGS, learning_rate=1.0, epochs=6))) == 6


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": "sgd", "learning_rate": 0.1},
        {"optimizer": "sgd", "nesterov": False, "schedule": "constant", "learning_rate": 0.1},
        {"schedule": "cosine", "warmup": 0.1},
        {"precision": "bfloat16"},
        {"mixup": 0.2},
        {"augment": ("shift", "cutout"), "shift_pixels": 1, "cutout_pixels": 2},
        {"deterministic": True},
    ],
)
def test_an_easy_task_is_learned_with_every_trick(changes: dict[str, object]) -> None:
    before = torch.are_deterministic_algorithms_enabled()
    seed_everything(3)
    model = build("ann", width=0.25)
    found = []
    for result in train(
        model, *blobs(50, 1), *blobs(20, 2), replace(SETTINGS, epochs=12, **changes), 1
    ):
        found.append(result.validation_accuracy)
        assert torch.are_deterministic_algorithms_enabled() == before  # between epochs
    assert found[-1] >= 0.9


def test_the_time_that_is_left_falls_to_nothing() -> None:
    results = run(build("ann", width=0.1), replace(SETTINGS, epochs=4))
    assert results[0].seconds_left == pytest.approx(3 * results[0].seconds)
    assert results[-1].seconds_left == 0
    assert not any(result.from_checkpoint for result in results)


def test_images_that_are_too_small_for_the_augmentation_are_refused() -> None:
    with pytest.raises(DataError, match=r"training.shift_pixels 8: must be below the side"):
        run(build("ann"), replace(SETTINGS, augment=("shift",), shift_pixels=8))


def test_sets_that_do_not_fit_are_refused() -> None:
    images, labels = blobs(8, 1)
    with pytest.raises(DataError, match="8 images and 7 labels: must be as many of both"):
        next(train(build("ann"), images, labels[:7], images, labels, SETTINGS, 1))
    with pytest.raises(DataError, match="0 images and 0 labels"):
        next(train(build("ann"), images[:0], labels[:0], images, labels, SETTINGS, 1))


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["convnet", "mlp"])
@pytest.mark.parametrize(
    ("variant", "goal"),
    [("ann", 0.95), ("qann", 0.95), ("snn", 0.95), ("s2nn", 0.95), ("bnn", 0.93)],
)
def test_defaults_read_handwritten_digits(variant: str, goal: float, architecture: str) -> None:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    images, others, labels, other_labels = train_test_split(
        images, labels, train_size=1077, stratify=labels, random_state=0
    )
    print("seed 0")
    seed_everything(0)
    model = family.load(variant).build(Design.of(variant, architecture, {}), (1, 8, 8), 10)
    *_, last = train(model, images, labels, others, other_labels, SHIPPED, 0)
    assert last.validation_accuracy >= goal
