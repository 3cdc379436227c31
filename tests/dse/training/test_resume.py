"""A training that stops goes on to the same bits, or says why it cannot."""

import itertools
import random
import resource
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dse.errors import CheckpointError
from dse.seeding import seed_everything
from dse.training.loop import EpochResult, train
from dse.training.resume import discard
from dse.training.settings import TrainingSettings

SETTINGS = TrainingSettings(
    epochs=4,
    batch_size=16,
    learning_rate=0.01,
    weight_decay=0.01,
    label_smoothing=0.1,
    grad_clip=1.0,
)
TRICKS = replace(
    SETTINGS,
    optimizer="sgd",
    schedule="cosine",
    warmup=0.1,
    mixup=0.3,
    augment=("flip", "shift", "cutout"),
    cutout_pixels=3,
    precision="bfloat16",
)
Weights = dict[str, Tensor]


class Random(nn.Module):
    """Draws from every generator that a process has, in training and in evaluation."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3).to(memory_format=torch.channels_last)
        self.second = nn.Conv2d(4, 4, 3, padding=1).to(memory_format=torch.channels_last)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.3)
        self.readout = nn.Linear(4 * 36, 4)
        self.activity: tuple[Tensor, int] | None = None

    def forward(self, images: Tensor) -> Tensor:
        noise = random.gauss(0, 0.01) + np.random.normal(0, 0.01)  # noqa: NPY002
        images = torch.bernoulli(images.clamp(0, 1)) + noise
        currents = self.norm(self.second(self.conv(images)))
        self.activity = ((currents > 0).sum(), currents.numel())
        return self.readout(self.drop(currents.relu().flatten(1)))


def blobs(samples: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(samples) % 4
    images = torch.rand(samples, 1, 8, 8, generator=generator) * 0.5
    for image, label in zip(images[:, 0], labels.tolist(), strict=True):
        row, column = divmod(label, 2)
        image[row * 4 : row * 4 + 4, column * 4 : column * 4 + 4] += 0.5
    return images, labels


def course(
    model: nn.Module, settings: TrainingSettings = SETTINGS, seed: int = 1, **more
) -> Iterator[EpochResult]:
    return train(model, *blobs(50, 1), *blobs(20, 2), settings, seed, **more)


def fresh() -> Random:
    seed_everything(3)
    return Random()


def timeless(results: list[EpochResult]) -> list[EpochResult]:
    return [
        replace(
            one, seconds=0, seconds_left=0, samples_per_s=0, from_checkpoint=False, is_current=True
        )
        for one in results
    ]


def whole(settings: TrainingSettings) -> tuple[Weights, list[EpochResult], float]:
    """A training that nothing stops, and what the generators give next."""
    model = fresh()
    results = timeless(list(course(model, settings)))
    return model.state_dict(), results, drawn()


def drawn() -> float:
    return random.gauss(0, 1) + np.random.normal() + torch.rand(()).item()  # noqa: NPY002


def stopped(path: Path, epochs: int, settings: TrainingSettings = SETTINGS, **more) -> None:
    """A training that ends after some epochs without a word."""
    for _ in itertools.islice(course(fresh(), settings, checkpoint=path, **more), epochs):
        pass


def equal(one: Weights, other: Weights) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("settings", [SETTINGS, TRICKS, replace(SETTINGS, schedule="constant")])
@pytest.mark.parametrize("epochs", [1, 3, 4])
def test_it_goes_on_to_the_same_bits(
    tmp_path: Path, settings: TrainingSettings, epochs: int
) -> None:
    path = tmp_path / "trial" / "checkpoint.safetensors"
    expected, results, after = whole(settings)
    stopped(path, epochs, settings)
    model = fresh()
    random.seed(99)
    torch.manual_seed(99)
    found = list(course(model, settings, checkpoint=path))
    assert [one.from_checkpoint for one in found] == [one.epoch <= epochs for one in found]
    assert timeless(found) == results
    assert equal(expected, model.state_dict())
    assert drawn() == after
    assert list(path.parent.iterdir()) == [path]


def test_a_checkpoint_changes_nothing_and_validation_draws_nothing(tmp_path: Path) -> None:
    expected, results, after = whole(SETTINGS)
    model = fresh()
    found = list(course(model, checkpoint=tmp_path / "c"))
    assert timeless(found) == results
    assert all(0 < rate < 1 for one in found for rate in one.spike_rates.values())
    assert equal(expected, model.state_dict())
    assert drawn() == after


def test_time_that_was_spent_before_counts_for_what_is_left(tmp_path: Path) -> None:
    stopped(tmp_path / "c", 2)
    found = list(course(fresh(), checkpoint=tmp_path / "c"))
    done_s = sum(one.seconds for one in found[:3])
    assert found[2].seconds_left == pytest.approx(done_s / 3)
    assert found[3].seconds_left == 0


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "text", "header"])
def test_a_damaged_checkpoint_is_refused_or_passed_over(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "c"
    stopped(path, 2)
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        content[-1] ^= 1
    elif damage == "header":  # in the text of the document: its epoch results
        place = content.index(b"train_loss")
        content[place + 15] ^= 1
    path.write_bytes(
        {"empty": b"", "cut": bytes(content[:-7]), "text": b"not weights at all"}.get(
            damage, bytes(content)
        )
    )
    model = fresh()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.get_rng_state()
    with pytest.raises(CheckpointError, match="c: damaged"):
        next(course(model, checkpoint=path))
    assert equal(before, model.state_dict())
    assert torch.equal(state, torch.get_rng_state())
    told: list[str] = []
    list(course(model, checkpoint=path, on_unusable=lambda error: told.append(str(error))))
    assert equal(whole(SETTINGS)[0], model.state_dict())
    assert len(told) == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seed": 2}, "seed 1: must be 2"),
        ({"settings": replace(SETTINGS, epochs=5)}, 'settings {"epochs": 4'),
        ({"about": {"design": "b"}}, 'design "a": must be "b"'),
    ],
)
def test_a_checkpoint_of_another_training_is_refused(
    tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    path = tmp_path / "c"
    stopped(path, 2, about={"design": "a"})
    content = path.read_bytes()
    given = {"about": {"design": "a"}, **changes}
    with pytest.raises(CheckpointError) as refusal:
        next(course(fresh(), checkpoint=path, **given))
    assert f"c: is of another training: {said}" in str(refusal.value)
    assert path.read_bytes() == content


def test_other_data_other_threads_and_other_weights_are_told_all_at_once(tmp_path: Path) -> None:
    path = tmp_path / "c"
    stopped(path, 2)
    seed_everything(4)
    images, labels = blobs(50, 1)
    torch.set_num_threads(2)
    with pytest.raises(CheckpointError) as refusal:
        next(train(Random(), images[:40], labels[:40], *blobs(20, 2), SETTINGS, 1, checkpoint=path))
    lines = [line.split("training: ")[1].split()[0] for line in str(refusal.value).splitlines()]
    assert lines == ["samples", "data", "first_weights", "threads"]


def test_weights_alone_are_no_checkpoint(tmp_path: Path) -> None:
    from dse.training.checkpoint import save_weights

    model = fresh()
    save_weights(model, tmp_path / "c")
    with pytest.raises(CheckpointError, match="not a checkpoint of a training: its format is none"):
        next(course(model, checkpoint=tmp_path / "c"))


def test_what_a_killed_writer_left_is_never_read_and_goes(tmp_path: Path) -> None:
    path = tmp_path / "c"
    stopped(path, 1)
    left = tmp_path / ".c.4711.tmp"
    left.write_bytes(path.read_bytes()[:100])
    assert next(course(fresh(), checkpoint=path)).from_checkpoint
    assert not left.exists()
    left.write_bytes(b"")
    discard(path)
    discard(path)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_and_the_last_checkpoint_stays(tmp_path: Path) -> None:
    path = tmp_path / "c"
    results = course(fresh(), checkpoint=path)
    next(results)
    content = path.read_bytes()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # the kernel takes no more than half of it; Python ignores the signal that comes with it
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(content) // 2, before[1]))
    try:
        with pytest.raises(
            CheckpointError, match=r"/c: [\d,]+ bytes cannot be written: File too large: there must"
        ):
            next(results)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]
    model = fresh()
    found = list(course(model, checkpoint=path))
    assert [one.from_checkpoint for one in found] == [True, False, False, False]
    assert equal(whole(SETTINGS)[0], model.state_dict())
