"""A trial: what a stop leaves, what goes on from it, and what a full disk says."""

import errno
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dse import inventory, trial
from dse.design import Design
from dse.neurons import kernel
from dse.recipe import Recipe, checkpoint_file, weights_file
from dse.training.loop import EpochResult
from dse.trial import Look, run_trial
from reports.record import TrialRecord

DESIGN = Design.of(
    "snn",
    "mlp",
    {"width": 0.1, "depth": 1, "learning_rate": 0.01, "time_steps": 2},
)


class Stopped(Exception):
    """What a test stops a trial with."""


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def recipe(*overrides: str) -> Recipe:
    given = ("training.epochs=4", "data.samples=200", "architecture=mlp", *overrides)
    return Recipe(inventory.load_sweep("smoke", given))


def run(folder: Path, stop_after: int = 0, **more) -> tuple[TrialRecord, list[EpochResult]]:
    results: list[EpochResult] = []

    def on_epoch(result: EpochResult) -> None:
        results.append(result)
        if result.epoch == stop_after:
            raise Stopped

    more = {"is_resumed": True, **more}
    given = more.pop("recipe", recipe())
    record = run_trial(DESIGN, 3, given, folder, worker="w", on_epoch=on_epoch, **more)
    return record, results


def comparable(record: TrialRecord) -> TrialRecord:
    return replace(record, times={})


def test_a_stopped_trial_goes_on_to_the_same_record_and_weights(tmp_path: Path) -> None:
    whole, _ = run(tmp_path / "whole", is_resumed=False)
    assert not checkpoint_file(tmp_path / "whole", 3).exists()
    with pytest.raises(Stopped):
        run(tmp_path / "cut", stop_after=2)
    record, results = run(tmp_path / "cut")
    assert [one.from_checkpoint for one in results] == [True, True, False, False]
    assert comparable(record) == comparable(whole)
    first, second = (weights_file(tmp_path / name, 3).read_bytes() for name in ("whole", "cut"))
    assert first == second
    # the time of the process that stopped counts: a budget of time is of all of it
    assert record.times["train_s"] >= sum(one.seconds for one in results)
    assert record.times["total_s"] >= record.times["train_s"]


def test_a_trial_that_is_judged_stops_with_what_it_has_and_goes_on_to_the_same_end(
    tmp_path: Path,
) -> None:
    looks: list[int] = []

    def judge(epoch: int, look: Look) -> str | None:
        looks.append(epoch)
        assert look()["metrics"]["epochs"] == epoch
        return "worse" if epoch == 2 else None

    record, results = run(tmp_path, judge=judge)
    assert (record.state, record.reason, looks) == ("stopped", "worse", [1, 2])
    assert record.accuracy == results[-1].validation_accuracy
    assert record.energy_pj("cmos45-fp32") > 0
    assert record.metrics["spikes"] > 0
    assert record.times["train_s"] > 0
    assert record.counts_file is None
    assert checkpoint_file(tmp_path, 3).exists()
    # a process that was killed before it could say so stops again, without training
    again, results = run(tmp_path, judge=judge)
    assert [one.from_checkpoint for one in results] == [True, True]
    assert (looks[2:], comparable(again)) == ([2], comparable(record))
    # promoted, it ends as a training that nobody has looked at
    whole, _ = run(tmp_path / "whole", is_resumed=False)
    promoted, results = run(tmp_path)
    assert [one.from_checkpoint for one in results] == [True, True, False, False]
    assert comparable(promoted) == comparable(whole)
    first, second = (weights_file(folder, 3) for folder in (tmp_path, tmp_path / "whole"))
    assert first.read_bytes() == second.read_bytes()


def test_looking_at_a_training_does_not_change_it(tmp_path: Path) -> None:
    def judge(epoch: int, look: Look) -> None:
        look()

    design = Design.of("snn", "mlp", {**DESIGN.values, "encoding": "poisson"})
    records = []
    for name, more in (("seen", {"judge": judge}), ("unseen", {})):
        folder = tmp_path / name
        records.append(run_trial(design, 3, recipe(), folder, worker="w", **more))
    assert comparable(records[0]) == comparable(records[1])
    first, second = (weights_file(tmp_path / name, 3) for name in ("seen", "unseen"))
    assert first.read_bytes() == second.read_bytes()


def test_a_trial_that_is_not_to_be_resumed_is_trained(tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        run(tmp_path, stop_after=2)
    _, results = run(tmp_path, is_resumed=False)
    assert not any(one.from_checkpoint for one in results)


@pytest.mark.parametrize(
    ("recipe_then", "cause"),
    [
        (recipe(), "damaged"),
        (recipe("training.weight_decay=0.5"), "is of another training: settings"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_noted_and_not_used(
    tmp_path: Path, recipe_then: Recipe, cause: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(Stopped):
        run(tmp_path, stop_after=2)
    path = checkpoint_file(tmp_path, 3)
    if cause == "damaged":
        path.write_bytes(path.read_bytes()[:-3])
    record, results = run(tmp_path, recipe=recipe_then)
    expected, _ = run(tmp_path / "whole", recipe=recipe_then)
    assert [one.from_checkpoint for one in results] == [False] * 4
    [note] = set(record.notes) - set(expected.notes)
    assert note.startswith(f"trained from the start: its checkpoint was not used: {cause}")
    assert "the training starts over" in caplog.text
    assert comparable(replace(record, notes=expected.notes)) == comparable(expected)


@contextmanager
def room(size: int) -> Iterator[None]:
    """No file may be larger, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    ("size", "which"),
    [(500, "checkpoint.safetensors"), (501, "weights.safetensors"), (90_000, "counts.json")],
)
def test_a_full_disk_fails_one_trial_and_names_the_file(
    tmp_path: Path, size: int, which: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, is_counts = trial.write_atomically, which == "counts.json"
    monkeypatch.setattr(
        trial,
        "write_atomically",
        lambda path, text: write(path, text + " " * 100_000 if is_counts else ""),
    )
    with room(size):
        record, _ = run(tmp_path, is_resumed=which == "checkpoint.safetensors")
    assert record.state == "failed"
    assert record.reason is not None
    assert record.reason.startswith("ResourceFailure: no room on the disk: ")
    assert "File too large" in record.reason
    assert which in record.reason
    assert list((tmp_path / "trials/3").iterdir()) == []


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MemoryError(), "out of memory; batches of 32"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), "2.00 GiB"),
        (OSError(errno.ENOSPC, "No space left on device", "x"), "no room on the disk: "),
    ],
)
def test_a_machine_that_gives_no_more_fails_one_trial(
    tmp_path: Path, error: Exception, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(trial, "accuracy", refuse)
    record, _ = run(tmp_path)
    assert (record.state, record.metrics) == ("failed", {})
    assert record.reason is not None
    assert record.reason.startswith("ResourceFailure: ")
    assert reason in record.reason
    monkeypatch.undo()
    after, _ = run(tmp_path)  # the next one is trained as ever
    assert after.state == "complete"


def test_memory_that_a_processor_does_not_have_fails_one_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "accuracy", lambda *_, **__: torch.empty(1 << 48))
    record, _ = run(tmp_path)
    assert record.reason == (
        "ResourceFailure: out of memory: 1,125,899,906,842,624 bytes were asked for; batches of 32"
    )


def test_an_error_of_another_kind_is_not_taken_for_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "accuracy", lambda *_, **__: torch.empty(3) @ torch.empty(2))
    with pytest.raises(RuntimeError, match="size"):
        run(tmp_path)


def test_what_a_killed_worker_left_half_written_goes(tmp_path: Path) -> None:
    left = [
        tmp_path / "trials/3" / f".{name}.77.tmp" for name in ("counts.json", "weights.safetensors")
    ]
    left[0].parent.mkdir(parents=True)
    for path in left:
        path.write_text("half")
    run(tmp_path)
    assert not any(path.exists() for path in left)


def test_a_checkpoint_of_another_neuron_kernel_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Stopped):
        run(tmp_path, stop_after=1)
    monkeypatch.setattr(kernel, "build", lambda: "another")
    record, results = run(tmp_path)
    assert not any(result.from_checkpoint for result in results)
    assert "neurons" in " ".join(record.notes)


def test_a_record_says_what_computed_it(tmp_path: Path) -> None:
    record, _ = run(tmp_path)
    assert record.computed == {"products": "default", "neurons": kernel.build()}
    assert TrialRecord.from_dict(record.to_dict()) == record
