"""Config: a sweep file as one typed value, and every mistake in it at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainValidator,
    StringConstraints,
)

from dse import own, sweepfile
from dse.contradictions import contradictions
from dse.design import KnobValue
from dse.domain import Fixed, SpaceEntry
from dse.errors import ConfigError
from dse.knobentry import KnobEntries, KnobEntry, Number, Strict, Text, not_empty, number, values_of
from dse.sweepfile import SweepPlaces
from dse.training.settings import Augmentation, OptimizerName, Precision, ScheduleName
from dse.vocabulary import Goal, Vocabulary, is_priced, misused_words
from energy_models.yamlfile import Places, YamlMistakes, validate

__all__ = ["SweepConfig", "Vocabulary", "dump_sweep", "load_sweep"]


def _named(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


def _share_or_count(value: object) -> int | float:
    part = number(value)
    if part <= 0 or (isinstance(part, float) and part >= 1):
        raise ValueError("must be a share between 0 and 1, or a whole number of samples")
    return part


# The name is also that of a folder.
Name = Annotated[
    str, StringConstraints(strict=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)
]
Count = Annotated[int, Field(strict=True, ge=1, le=1_000_000)]
Positive = Annotated[float, BeforeValidator(number), Field(gt=0)]
NotNegative = Annotated[float, BeforeValidator(number), Field(ge=0)]


class DataChoice(Strict):
    """Which data, and how much of them.

    name : of a data set, or by which that of `file` is called
    file : of the user's own, `file.npz` or `file.py:function`, from the root
    validation : share (below 1) or number of training samples held out for the search
    samples : how many training samples to use, validation included; None = all
    """

    name: Text
    file: Text | None = None
    validation: Annotated[int | float, PlainValidator(_share_or_count)] = 0.2
    samples: Annotated[Count, Field(ge=2)] | None = None


class Objective(Strict):
    """What a sweep wants.

    limit : the worst value that is still of use      hardware : the profile that prices it
    """

    name: Text
    goal: Goal
    limit: Number | None = None
    hardware: Text | None = None


class Budget(Strict):
    """When a sweep ends: after so many trials, or after so much time of the processor.

    repeats : train every design of the space so many times, each with a seed of its own

    `dse.contradictions` sees to it that one of them is given.
    """

    trials: Count | None = None
    cpu_hours: Positive | None = None
    repeats: Annotated[Count, Field(le=1000)] | None = None


def _readings(value: object) -> tuple[KnobValue, ...] | Literal["all"]:
    return "all" if value == "all" else values_of(value)


def _rising(values: tuple[float, ...]) -> tuple[float, ...]:
    if list(values) != sorted(set(values)):
        raise ValueError("must rise. Write the smallest first, and each once")
    if len(values) == 1:
        raise ValueError("has one width, which shares nothing. Write two at least")
    return values


Readings = Annotated[tuple[KnobValue, ...] | Literal["all"], PlainValidator(_readings)]


def _each_once(values: tuple[Augmentation, ...]) -> tuple[Augmentation, ...]:
    if len(set(values)) < len(values):
        raise ValueError("lists one twice. Keep one")
    return values


class Training(Strict):
    """How each trial is trained; the learning rate is a knob of the space.

    The entries are those of `dse.training.settings`. One that would change nothing is refused (see
    `dse.contradictions`): it was meant to change something.
    """

    epochs: Count = 12
    batch_size: Annotated[Count, Field(ge=2)] = 32
    weight_decay: NotNegative = 1e-3
    label_smoothing: Annotated[NotNegative, Field(lt=1)] = 0.0
    grad_clip: Positive = 5.0
    optimizer: OptimizerName = "adamw"
    momentum: Annotated[NotNegative, Field(lt=1)] = 0.9
    nesterov: Annotated[bool, Field(strict=True)] = True
    schedule: ScheduleName = "one-cycle"
    warmup: Annotated[NotNegative, Field(lt=1)] = 0.0
    mixup: Annotated[NotNegative, Field(le=100)] = 0.0
    augment: Annotated[tuple[Augmentation, ...], AfterValidator(_each_once)] = ()
    shift_pixels: Annotated[Count, Field(le=1000)] = 2
    cutout_pixels: Annotated[Count, Field(le=1000)] = 8
    precision: Precision = "float32"
    deterministic: Annotated[bool, Field(strict=True)] = False


class Search(Strict):
    """How designs are proposed.

    told : points of one training that the sampler is told, at most
    deterministic : propose in batches of a fixed size, and tell in the order of numbers, so that
        any number of workers, killed or not, comes to the same table
    batch : designs of one such batch: more workers than this have nothing to do
    """

    sampler: Literal["tpe", "gp", "random"] = "tpe"
    told: Annotated[Count, Field(le=1000)] = 8
    deterministic: Annotated[bool, Field(strict=True)] = False
    batch: Annotated[Count, Field(le=1024)] = 4


class Stopping(Strict):
    """Which trainings are stopped early: see `dse.stopping`.

    first : epochs before the first look      factor : between looks; one in so many goes on
    """

    first: Count = 1
    factor: Annotated[Count, Field(ge=2, le=100)] = 3


class Confirm(Strict):
    """What is done to the points of the front at the end, beside measuring them on the test data.

    epochs : of fine-tuning at the knobs that a point was read at; 0 = none
    alone : train each by itself from the start, where weights were shared over widths
    seeds : how often
    """

    epochs: Annotated[int, Field(strict=True, ge=0, le=1_000_000)] = 0
    alone: Annotated[bool, Field(strict=True)] = False
    seeds: Annotated[Count, Field(le=1000)] = 1


class SweepConfig(Strict):
    """A sweep file with all defaults filled in.

    model : of the user's own, `file.py:function`, from the root; it stands in the place of variants
        and architecture, which are then `own` and the same function
    hardware : the first prices the objectives that name none
    evaluate : knob that matters only at evaluation -> its values, each read from every training;
        `time_steps: all` is every T' up to the trained T
    share_widths : train each design once for all of these widths; it then has the largest
    stopping : None = every training goes to its end
    warm_start : runs whose points the sampler is told before the first trial
    allow_uncounted : operators that a model may hold although nobody counts them
    """

    name: Name
    question: str = ""
    data: Annotated[DataChoice, BeforeValidator(own.spelled_out)]
    model: Text | None = None
    variants: Annotated[tuple[Text, ...], AfterValidator(not_empty)]
    architecture: Text
    space: dict[str, KnobEntries] = Field({})
    objectives: Annotated[tuple[Objective, ...], AfterValidator(not_empty)]
    hardware: Annotated[tuple[Text, ...], AfterValidator(not_empty)]
    budget: Budget
    training: Training = Training()
    evaluate: dict[str, Readings] = Field({})
    share_widths: Annotated[tuple[Positive, ...], AfterValidator(_rising)] = ()
    search: Search = Search()
    stopping: Stopping | None = None
    confirm: Confirm = Confirm()
    warm_start: tuple[Text, ...] = ()
    allow_uncounted: tuple[Text, ...] = ()
    workers: Annotated[Count, Field(le=1024)] = 1
    seed: Annotated[int, Field(strict=True, ge=0, lt=2**32)] = 0

    def entries(self) -> dict[str, tuple[SpaceEntry, ...]]:
        """What the sweep says about each knob, one entry a group of network families."""
        entries = {
            knob: tuple(one.entry() for one in ([said] if isinstance(said, KnobEntry) else said))
            for knob, said in self.space.items()
        }
        if self.share_widths:
            entries["width"] = (SpaceEntry(Fixed(self.share_widths[-1])),)
        return entries


def load_sweep(
    source: str | Path,
    vocabulary: Vocabulary,
    overrides: Sequence[str] = (),
    preset: str | None = None,
) -> SweepConfig:
    """A shipped sweep by name, or a file ending in `.yaml` or `.yml`.

    preset : name of changes that the file lists; they come before the overrides, and the name of
        the sweep gets it as its end
    overrides : `a.b=v`, where v is YAML

    Raises ConfigError with every mistake at once, in the order of the lines; also those of presets
    that are not asked for.
    """
    data, places = _read(source, overrides, preset)
    if preset is not None and isinstance(data.get("name"), str):
        data = {**data, "name": f"{data['name']}-{preset}"}
    config, problems = _checked(data, places, vocabulary)
    problems += _of_presets(source, vocabulary)
    if config is None or problems:
        raise ConfigError(places.in_order(problems))
    return config


def _read(
    source: str | Path, overrides: Sequence[str] = (), preset: str | None = None
) -> tuple[dict[str, Any], SweepPlaces]:
    """The plain data, with files of the user's own from the root.

    What a file names is beside it; what the command line names is where the user stands.
    """
    data, places = sweepfile.read(source, overrides, preset)
    folder = Path(source).parent if str(source).endswith((".yaml", ".yml")) else Path()
    for place, target in (own.file_of(data.get("data")), (("model",), data.get("model"))):
        if isinstance(target, str):
            base = Path() if places.at(place).startswith("--set ") else folder
            data = sweepfile.replaced(data, place, own.absolute(target, base))
    return data, places


def _checked(
    data: Mapping[str, Any], places: Places, vocabulary: Vocabulary
) -> tuple[SweepConfig | None, list[str]]:
    """The typed value, or None and what is wrong."""
    mistakes = [*misused_words(data, vocabulary), *contradictions(data)]
    problems = [places.problem(place, text) for place, text in mistakes]
    try:
        return validate(_filled_in(data, vocabulary), places, SweepConfig), problems
    except YamlMistakes as error:
        return None, [*problems, *error.problems]


def _of_presets(source: str | Path, vocabulary: Vocabulary) -> list[str]:
    """What is wrong with a file under each of its presets, and not without."""
    names = sweepfile.presets(source)
    if not names:
        return []
    alone = _checked(*_read(source), vocabulary)[1]
    found = []
    for name in names:
        try:
            problems = _checked(*_read(source, (), name), vocabulary)[1]
        except ConfigError as error:
            problems = list(error.problems)
        for problem in problems:
            if problem not in alone:
                is_said = f": presets.{name}: " in problem
                found.append(problem if is_said else f"{problem} (with presets.{name})")
    return found


def dump_sweep(config: SweepConfig) -> str:
    """YAML with all defaults filled in; it loads to an equal config."""
    return sweepfile.write(config.model_dump(exclude_none=True))


def _filled_in(data: Mapping[str, Any], vocabulary: Vocabulary) -> dict[str, Any]:
    """Each objective with its goal and its hardware; `hardware` with all that objectives name.

    A model of the user's own fills `variants` and `architecture`.
    """
    if data.get("model") is not None:
        data = {**data, "variants": [own.VARIANT], "architecture": str(data["model"])}
    if not isinstance(data.get("objectives"), list):
        return dict(data)
    hardware = data.get("hardware")
    profiles = list(hardware) if isinstance(hardware, list) else []
    objectives = []
    for entry in map(_named, data["objectives"]):
        if not isinstance(entry, dict):
            objectives.append(entry)
            continue
        name = entry.get("name")
        # an unknown name is a mistake already; its goal must not become a second one
        filled = {"goal": vocabulary.objectives.get(str(name), "min"), **entry}
        if is_priced(name) and profiles and isinstance(profiles[0], str):
            filled = {"hardware": profiles[0], **filled}
        profile = filled.get("hardware")
        if isinstance(profile, str) and profile not in profiles:
            profiles.append(profile)
        objectives.append(filled)
    return {**data, "objectives": objectives, **({"hardware": profiles} if hardware else {})}
