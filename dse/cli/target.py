"""Targets: a POINT of a run, stored counts, or a model of the user's own, as counts."""

from __future__ import annotations

import importlib
import inspect
import json
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dse import usercode
from dse.errors import DseError, TargetError
from dse.pricing import admit
from dse.runfolder import RunFolder
from energy_models import CountsError, ModelCounts
from reports.record import TrialRecord

if TYPE_CHECKING:
    from torch import Tensor, nn

    from dse.recipe import Recipe

_BATCH = 32  # samples in one pass over a data set
_POINT = re.compile(r"(?P<run>.+)#(?P<number>\d+)(\.(?P<reading>[1-9]\d*))?")


@dataclass(frozen=True, slots=True)
class OwnModel:
    """A model of the user's own, and what to run it on.

    batch : one tensor, or a tuple of positional arguments      note : where the batch comes from
    """

    model: nn.Module
    batch: Tensor | tuple[Any, ...]
    note: str


def open_run(run: str) -> RunFolder:
    """The folder of a run, by path or by the name of a run under `runs/`.

    Raises TargetError if there is none.
    """
    for path in (Path(run), Path("runs") / run):
        if (path / "sweep.yaml").is_file():
            return RunFolder(path)
    raise TargetError(
        f'run "{run}": no such run: there is no sweep.yaml in {run} or runs/{run}. '
        "`dse run SWEEP` makes one"
    )


def is_point(target: str) -> bool:
    """Does it look like `RUN#17`?"""
    return _POINT.fullmatch(target) is not None


def recipe_of(folder: RunFolder, data_dir: Path | None, device: str = "cpu") -> Recipe:
    """What the trainings of a run have in common, with the data set where it was, or elsewhere.

    Raises RunFolderError if data or model of the user's own have changed.
    """
    from dse import inventory
    from dse.recipe import Recipe

    config = inventory.load_begun(folder.sweep_file)
    kept = folder.settings().get("data_dir")
    recipe = Recipe(config, data_dir or (Path(kept) if kept else None), device)
    folder.refuse_changed({}, recipe.fingerprints())
    return recipe


def open_point(point: str) -> tuple[RunFolder, TrialRecord]:
    """The run and the record of `RUN#17`, or of `RUN#17.3`, the third point made from it.

    Raises TargetError if there is none.
    """
    found = _POINT.fullmatch(point)
    if found is None:
        raise TargetError(
            f'point "{point}": must be RUN#NUMBER, as in runs/quickstart#17 or runs/quickstart#17.3'
        )
    folder = open_run(found["run"])
    records = folder.records()
    number, reading = int(found["number"]), int(found["reading"] or 0)
    for record in records:
        if record.key == (number, reading):
            return folder, record
    made = [record.key[1] for record in records if record.number == number]
    if reading and made:
        have = f"goes from {number}.1 to {number}.{max(made)}" if max(made) else "has no points"
        raise TargetError(f'point "{point}": there is no {number}.{reading}; trial {number} {have}')
    last = max((record.number for record in records), default=None)
    have = "it has no finished trial yet" if last is None else f"its trials go from 0 to {last}"
    raise TargetError(f'point "{point}": there is no trial {number}; {have}')


def counts_of(
    target: str,
    *,
    input_shape: str | None,
    data: str | None,
    data_dir: Path | None,
    samples: int,
    time_steps: int | None,
    device: str,
    batch_dim: int = 0,
    reading: str = "tensor",
    allow_uncounted: Sequence[str] = (),
    conventions: bool = False,
) -> tuple[ModelCounts, OwnModel | None]:
    """The counts of a POINT or a file (stored; torch is not needed), or of a model that is run now.

    allow_uncounted : operators without a rule that are admitted by name
    conventions : gather what the conventions ask for, if the model is run now
    Raises TargetError if the model cannot be had, or an admitted operator did not occur.
    """
    is_file = target.endswith(".json")
    if is_file or is_point(target):
        if input_shape or data or time_steps or reading != "tensor":
            raise TargetError(
                f"{target}: its counts are stored; --input, --data, --time-steps and --reading "
                "are for a model of yours"
            )
        if is_file:
            return _admitted(_stored(Path(target)), allow_uncounted), None
        folder, record = open_point(target)
        counts = folder.counts(record)
        return _admitted(counts, allow_uncounted), None
    if reading not in ("tensor", "element"):
        raise TargetError(f'--reading "{reading}": must be tensor or element')
    if batch_dim and data is not None:
        raise TargetError("--batch-dim is for --input: the samples of --data come first")
    own = own_model(target, input_shape, data, data_dir, samples, device)
    from dse.counting.count import count

    # a data set streams, with a bar; a batch that came with the model is one pass
    is_data = data is not None and not isinstance(own.batch, tuple)
    batch = list(own.batch.split(_BATCH)) if is_data else own.batch  # type: ignore[union-attr]
    counts = count(
        own.model,
        batch,
        time_steps=time_steps,
        batch_dim=batch_dim,
        reading=reading,  # type: ignore[arg-type]
        conventions=conventions,
    )
    return _admitted(_noted(counts, own.note), allow_uncounted), own


def _stored(path: Path) -> ModelCounts:
    """A count document, as `dse count --json` prints it.

    Raises TargetError if it is none.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(document, dict):
            raise CountsError(f"it holds {type(document).__name__}, and must hold an object")
        return ModelCounts.from_dict(document)
    except OSError as error:
        raise TargetError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise TargetError(f"{path}: cannot be read: {error}") from error
    except (json.JSONDecodeError, CountsError, AttributeError) as error:
        raise TargetError(
            f"{path}: is not a count document, as `dse count --json` prints it: {error}"
        ) from error


def _admitted(counts: ModelCounts, allowed: Sequence[str]) -> ModelCounts:
    idle = sorted(set(allowed) - set(counts.uncounted))
    if idle:
        known = ", ".join(sorted(counts.uncounted)) or "there is none"
        raise TargetError(
            f'--allow-uncounted "{idle[0]}": no such operator is uncounted here. Uncounted: {known}'
        )
    return admit(counts, allowed)


def own_model(
    target: str,
    input_shape: str | None,
    data: str | None,
    data_dir: Path | None,
    samples: int,
    device: str,
) -> OwnModel:
    """Build a model that `file.py:callable` or `package.module:callable` returns.

    The callable takes no arguments and returns a module, or a module and a batch.
    Raises TargetError if that is not so.
    """
    model, batch = _made(target)
    from torch import Tensor

    note = "input: the batch that the model came with"
    if data is not None and input_shape is not None:
        raise TargetError("--data and --input: give one of them")
    if data is not None:
        batch, note = _real_batch(data, data_dir, samples)
    elif input_shape is not None:
        batch, note = _random_batch(input_shape)
    if batch is None:
        raise TargetError(
            f"{target}: what shall it run on? Give --input 1,3,32,32, or --data NAME, or return a "
            "batch with the model"
        )
    where = pick_device(device)
    if not isinstance(batch, Tensor | tuple):
        raise TargetError(
            f"{target}: its batch is {type(batch).__name__}; it must be a tensor, or a tuple "
            "of the model's arguments"
        )
    if isinstance(batch, tuple):
        batch = tuple(part.to(where) if isinstance(part, Tensor) else part for part in batch)
    else:
        batch = batch.to(where)
    return OwnModel(model.to(where), batch, note)


def built_model(target: str) -> nn.Module:
    """The model that `file.py:callable` or `package.module:callable` returns, without its batch.

    Raises TargetError if it returns none.
    """
    return _made(target)[0]


def _made(target: str) -> tuple[nn.Module, Any]:
    """A model and the batch that it brings, None if it brings none."""
    import torch
    from torch import nn

    with _blamed(target):
        build = _callable(target)
        torch.manual_seed(0)  # the weights of a model that brings none
        made = build if isinstance(build, nn.Module) else _built(build, target)
    model, batch = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    if not isinstance(model, nn.Module):
        raise TargetError(
            f"{target}: returned {type(model).__name__}; it must return a torch.nn.Module, or a "
            "module and a batch"
        )
    return model, batch


@contextmanager
def _blamed(target: str) -> Iterator[None]:
    """What code of the user's own raises, with its line; TargetError."""
    try:
        yield
    except DseError:
        raise
    except Exception as error:
        place = Path(target.rpartition(":")[0])
        hint = ""
        if isinstance(error, FileNotFoundError):
            hint = f" (looked for from the current folder, {Path.cwd()})"
        raise TargetError(f"{target}: {usercode.blame(error, place)}{hint}") from error


def pick_device(name: str) -> str:
    """`auto`, `cpu` or `cuda` as a device that is here.

    Raises TargetError if it is not.
    """
    import torch

    has_gpu = torch.cuda.is_available()
    if name == "auto":
        return "cuda" if has_gpu else "cpu"
    if name == "cuda" and not has_gpu:
        raise TargetError("--device cuda: PyTorch finds no GPU here; use --device cpu")
    if name not in ("cpu", "cuda"):
        raise TargetError(f'--device "{name}": must be auto, cpu or cuda')
    return name


def _built(build: Any, target: str) -> Any:
    try:
        inspect.signature(build).bind()
    except TypeError as error:
        raise TargetError(
            f"{target}: is called without arguments, and needs some: {error}"
        ) from error
    return build()


def _callable(target: str) -> Any:
    place, colon, name = target.rpartition(":")
    if not colon or not name.isidentifier():
        raise TargetError(
            f'target "{target}": must be a point RUN#NUMBER, or a model of yours as '
            "file.py:callable or package.module:callable"
        )
    if place.endswith(".py"):
        return usercode.load(Path(place), name)
    return usercode.member(_module_by_name(place), name, place)


def _module_by_name(name: str) -> Any:
    sys.path.append(str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise TargetError(f"module {name}: {error}") from error


def _random_batch(text: str) -> tuple[Tensor, str]:
    import torch

    try:
        shape = tuple(int(part) for part in text.split(","))
    except ValueError:
        shape = ()
    if not shape or min(shape) < 1:
        raise TargetError(f'--input "{text}": must be sizes with commas, as in 1,3,32,32')
    batch = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    return batch, (
        "input: random normal values, seed 0, not data: effective counts and spike rates say "
        "nothing about real use; give --data NAME, or return a batch with the model"
    )


def _real_batch(name: str, data_dir: Path | None, samples: int) -> tuple[Tensor, str]:
    import torch

    from dse.data import splits

    data = splits.load(name, data_dir=data_dir, validation=0.2, samples=None, seed=0)
    images = torch.from_numpy(data.validation.images[:samples])
    notes = "; ".join(data.notes)
    return images, f"input: {len(images)} validation images of {name}" + (notes and f"; {notes}")


def _noted(counts: ModelCounts, note: str) -> ModelCounts:
    from dataclasses import replace

    return replace(counts, assumptions=(note, *counts.assumptions))
