"""Comparison: one trained network, converted by many methods and read at many numbers of steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace

import torch
from torch import Tensor, nn

from dse.conversion.convert import Converted, convert
from dse.conversion.graph import trace
from dse.conversion.layererrors import layer_errors
from dse.conversion.lessons import (
    BATCH_SIZE,
    CALIBRATION_SAMPLES,
    LEARNING_RATE,
    Lessons,
    calibration_images,
)
from dse.conversion.methods import METHODS, Method
from dse.conversion.network import ConvertedNetwork, Neurons
from dse.counting.count import count
from dse.data.splits import Part, Splits
from dse.errors import ConversionFailure, TracingError, TrialFailure
from dse.training.evaluation import accuracy_by_step, undisturbed
from energy_models import (
    CountsError,
    EnergyBreakdown,
    HardwareProfile,
    ModelCounts,
    break_even,
    estimate,
    load_profile,
)
from energy_models.baselines import ann_of
from energy_models.truncation import truncated
from reports.conversion import Comparison, LayerWork, MethodReadings, Rate, Reading, Source

COUNTED_SAMPLES = 64
_BATCH = 32  # samples that are counted at once
_UNPUBLISHED = ("name", "title", "source", "is_reconstruction")  # what is no part of a recipe

OnReading = Callable[[Method, int], None]
OnMethod = Callable[[Comparison], None]


def compare(
    model: nn.Module,
    data: Splits,
    methods: Sequence[Method],
    steps: Sequence[int],
    *,
    name: str,
    target: str,
    hardware: Sequence[str],
    calibration_samples: int = CALIBRATION_SAMPLES,
    counted_samples: int = COUNTED_SAMPLES,
    learning_rate: float = LEARNING_RATE,
    batch_size: int = BATCH_SIZE,
    device: str = "cpu",
    seed: int = 0,
    on_reading: OnReading = lambda method, time_steps: None,
    on_method: OnMethod = lambda comparison: None,
) -> Comparison:
    """What becomes of a trained network by every method at every T.

    A method whose network is the same at every T is calibrated once and read in one pass; another
    one is calibrated for each T. A method that does not go has its reason in the place of results.

    steps : T, each at least 1      hardware : profiles, each for the network and its ANN
    name, target : what the comparison and its model are called
    calibration_samples : training images, a stratified draw; all, if there are not so many
    counted_samples : of the validation images, the first, for operations and errors of layers
    learning_rate, batch_size : of the training that made the model; methods that train on take a
        share of the rate
    on_reading : told of every T of a method before it is read
    on_method : given the comparison so far, after the source and after every method

    Raises ConversionFailure for a model that no method can convert, and for classes that are not
    those of the data.
    """
    device_ = torch.device(device)
    model = model.to(device_).eval()
    profiles = {one: load_profile(one) for one in hardware}
    calibration = calibration_images(data.train, calibration_samples, seed).to(device_)
    counted = first_images(data.validation, counted_samples).to(device_)
    activations = check_source(model, data, counted[:2])
    ann = _ann_counts(model, counted)
    train = data.train
    lessons = Lessons(train.images, train.labels, batch_size, learning_rate, seed, device_)
    times = tuple(sorted(set(steps)))
    job = _Job(data, times, calibration, counted, profiles, ann, device_, seed, lessons)
    comparison = Comparison(
        name=name,
        data=data.name,
        source=_source(target, model, activations, ann, job),
        hardware=tuple(hardware),
        steps=job.steps,
        samples={
            "training": len(data.train),
            "validation": len(data.validation),
            "test": len(data.test),
            "calibration": len(calibration),
            "counted": len(counted),
        },
        settings={
            "data": data.normalisation,
            "seed": str(seed),
            "device": str(device_),
            "PyTorch": torch.__version__,
        },
        notes=data.notes,
        methods=(),
    )
    comparison = replace(comparison, notes=(*data.notes, *_at_chance(comparison, data.classes)))
    on_method(comparison)
    for one in methods:
        read = job.method(model, one, on_reading)
        comparison = replace(comparison, methods=(*comparison.methods, read))
        on_method(comparison)
    return comparison


def first_images(part: Part, samples: int) -> Tensor:
    """The first images of a part; (N, C, H, W)."""
    return torch.tensor(part.images[:samples])


def check_source(model: nn.Module, data: Splits, images: Tensor) -> tuple[str, ...]:
    """The activations of a model whose layers can be converted, and which fits the data.

    images : some of the data      Raises ConversionFailure, with every layer that cannot be.
    """
    refuse_precision(model)
    graph = trace(model)
    what = f"{type(model).__name__}, on images of {data.name} of shape {data.input_shape}"
    if len(data.input_shape) != 3:
        raise ConversionFailure(f"{what}: frames of events have their own time: must be images")
    try:
        with torch.no_grad():
            logits = graph.run(images)
    except (RuntimeError, ValueError, IndexError) as error:
        raise ConversionFailure(f"{what}: cannot run: {str(error).splitlines()[0]}") from error
    if logits.dim() != 2 or logits.shape[1] != data.classes:
        raise ConversionFailure(
            f"{what}: gives logits of shape {tuple(logits.shape[1:])}: must be ({data.classes},), "
            "one for each class of the data"
        )
    return tuple(f"{node.name}: {node.module}" for node in graph.activations())


def _at_chance(comparison: Comparison, classes: int) -> Iterator[str]:
    """Whether the source tells no class from another: nobody has trained it, perhaps."""
    accuracy, chance = comparison.source.validation, 1 / classes
    error = math.sqrt(chance * (1 - chance) / comparison.samples["validation"])
    if accuracy is not None and accuracy < chance + 3 * error:
        yield (
            f"the ANN is right in {100 * accuracy:.1f} % of the validation images, and chance in "
            f"{100 * chance:.1f} %: are its weights trained?"
        )


def refuse_precision(model: nn.Module) -> None:
    """Raise ConversionFailure for weights of another kind than the images have."""
    kinds = {one.dtype for one in model.parameters() if one.is_floating_point()}
    if others := sorted(str(kind) for kind in kinds - {torch.float32}):
        raise ConversionFailure(
            f"{type(model).__name__}: weights are {', '.join(others)}: must be torch.float32, as "
            "the images are: return model.float()"
        )


def _ann_counts(model: nn.Module, images: Tensor) -> ModelCounts | None:
    """One dense pass of the ANN, whose values are real; None where the counts do not tell it."""
    try:
        counts = count(model, list(torch.split(images, _BATCH)), progress=False)
        return ann_of(counts)
    except CountsError:
        return None


def _source(
    target: str,
    model: nn.Module,
    activations: tuple[str, ...],
    ann: ModelCounts | None,
    job: _Job,
) -> Source:
    priced = _priced(ann, job.profiles)
    validation, test = job.accuracies(model)
    return Source(
        target=target,
        model=type(model).__name__,
        activations=activations,
        parameters=sum(one.numel() for one in model.parameters()),
        validation=validation[-1],
        test=test[-1],
        mac=0.0 if ann is None else ann.ops.mac,
        dense_mac=0.0 if ann is None else ann.ops.dense_mac,
        energy_pj=priced.energy_pj,
        missing=priced.missing,
        notes=() if ann is None else ann.assumptions,
    )


@dataclass(frozen=True, slots=True)
class _Job:
    """What every method is given."""

    data: Splits
    steps: tuple[int, ...]
    calibration: Tensor
    counted: Tensor
    profiles: Mapping[str, HardwareProfile]
    ann: ModelCounts | None
    device: torch.device
    seed: int
    lessons: Lessons

    def method(self, model: nn.Module, method: Method, on_reading: OnReading) -> MethodReadings:
        read = self._each_step if method.depends_on_time_steps else self._one_pass
        published = METHODS.get(method.name, method)
        recipe = {key: value for key, value in asdict(method).items() if key not in _UNPUBLISHED}
        return MethodReadings(
            name=method.name,
            title=method.title,
            source=method.source,
            is_reconstruction=method.is_reconstruction,
            recipe=recipe,
            changed=tuple(
                f"{one.name}: {getattr(method, one.name)}, not {getattr(published, one.name)}"
                for one in fields(method)
                if getattr(method, one.name) != getattr(published, one.name)
            ),
            is_one_pass=not method.depends_on_time_steps,
            readings=read(model, method, on_reading),
        )

    def accuracies(
        self, model: nn.Module
    ) -> tuple[tuple[float | None, ...], tuple[float | None, ...]]:
        """Of validation and test images, after 1 .. T steps."""
        validation, test = (
            accuracy_by_step(model, part.images, part.labels, device=self.device)
            for part in (self.data.validation, self.data.test)
        )
        return validation, test

    def _converted(self, model: nn.Module, method: Method, time_steps: int) -> Converted:
        """The one place where a network is converted."""
        return convert(model, self.calibration, method, time_steps, lessons=self.lessons)

    def _each_step(
        self, model: nn.Module, method: Method, on_reading: OnReading
    ) -> tuple[Reading, ...]:
        """One calibration and one pass for each T."""
        readings = []
        for time_steps in self.steps:
            on_reading(method, time_steps)
            with undisturbed(self.device):
                torch.manual_seed(self.seed)
                try:
                    made = self._converted(model, method, time_steps)
                    found = (one[-1] for one in self.accuracies(made.network))
                    counts = self._counts(made.network)
                    reading = self._reading(made, counts, *found, calibrated_for=time_steps)
                except (TrialFailure, TracingError) as error:
                    reading = Reading(time_steps, reason=str(error))
            readings.append(reading)
        return tuple(readings)

    def _one_pass(
        self, model: nn.Module, method: Method, on_reading: OnReading
    ) -> tuple[Reading, ...]:
        """Every T from one network and one pass of the longest."""
        longest = self.steps[-1]
        readings = []
        with undisturbed(self.device):
            torch.manual_seed(self.seed)
            on_reading(method, self.steps[0])
            try:
                made = self._converted(model, method, longest)
                validation, test = self.accuracies(made.network)
                whole = self._counts(made.network)
                for time_steps in self.steps:
                    if time_steps != self.steps[0]:
                        on_reading(method, time_steps)
                    made.network.time_steps = time_steps
                    counts = self._fewer(made.network, whole)
                    found = validation[time_steps - 1], test[time_steps - 1]
                    readings.append(self._reading(made, counts, *found, calibrated_for=None))
            except (TrialFailure, TracingError) as error:
                return tuple(Reading(one, reason=str(error)) for one in self.steps)
        return tuple(readings)

    def _counts(self, network: ConvertedNetwork) -> ModelCounts:
        size = min(_BATCH, network.samples_at_once)
        return count(network, list(torch.split(self.counted, size)), progress=False)

    def _fewer(self, network: ConvertedNetwork, whole: ModelCounts) -> ModelCounts:
        """The counts of fewer steps, from those of all where these tell them.

        Spikes that are drawn depend on how many samples are counted at once, and so on T.
        """
        if network.coding_kind == "poisson" and network.time_steps < whole.time_steps:
            return self._counts(network)
        try:
            return truncated(whole, network.time_steps)
        except CountsError:
            return self._counts(network)

    def _reading(
        self,
        made: Converted,
        counts: ModelCounts,
        validation: float | None,
        test: float | None,
        *,
        calibrated_for: int | None,
    ) -> Reading:
        priced = _priced(counts, self.profiles)
        kept = [one.kept_share for one in made.layers if one.kept_share is not None]
        return Reading(
            time_steps=made.network.time_steps,
            calibrated_for=calibrated_for,
            validation=validation,
            test=test,
            spikes_per_neuron=_spikes_per_neuron(made.network, counts),
            spikes=counts.spikes,
            mac=counts.ops.mac,
            dense_mac=counts.ops.dense_mac,
            ac=counts.ops.ac,
            graded=counts.ops.graded,
            energy_pj=priced.energy_pj,
            missing=priced.missing,
            break_even=self._break_even(counts),
            kept_share=sum(kept) / len(kept) if kept else None,
            notes=(*made.notes, *counts.warnings, *counts.assumptions),
            layers=layer_errors(made, self.counted),
            work=priced.work,
        )

    def _break_even(self, counts: ModelCounts) -> dict[str, Rate]:
        if self.ann is None:
            return {}
        found = {
            name: break_even(counts, profile, name, ann=self.ann).network
            for name, profile in self.profiles.items()
        }
        return {name: Rate(one.rate, one.measured_rate, one.text) for name, one in found.items()}


@dataclass(frozen=True, slots=True)
class _Priced:
    """Energies per sample: profile -> total, None if incomplete; profile -> what has no price."""

    energy_pj: dict[str, float | None]
    missing: dict[str, tuple[str, ...]]
    work: tuple[LayerWork, ...] = ()


def _priced(counts: ModelCounts | None, profiles: Mapping[str, HardwareProfile]) -> _Priced:
    if counts is None:
        nothing = ("its operations do not follow from what was counted",)
        return _Priced(dict.fromkeys(profiles), dict.fromkeys(profiles, nothing))
    found = {name: estimate(counts, profile) for name, profile in profiles.items()}
    return _Priced(
        {name: one.total_pj for name, one in found.items()},
        {name: tuple(one.missing) for name, one in found.items() if one.missing},
        tuple(_work(counts, found)),
    )


def _work(counts: ModelCounts, found: Mapping[str, EnergyBreakdown]) -> Iterator[LayerWork]:
    for place, row in enumerate(counts.layers):
        events = {**row.ops.to_dict(), **row.updates.to_dict()}
        energy_pj = {name: one.layers[place].total_pj for name, one in found.items()}
        yield LayerWork(row.name.removeprefix("nodes."), row.operator, events, energy_pj)
    network = {name: sum(one.network.values()) for name, one in found.items() if one.network}
    if network:
        yield LayerWork("(network)", "", {}, network)


def _spikes_per_neuron(network: ConvertedNetwork, counts: ModelCounts) -> float | None:
    """Of the neurons that stand where activations were, in all steps."""
    names = {name for name, one in network.nodes.named_modules() if isinstance(one, Neurons)}
    rows = [row for row in counts.layers if row.name.removeprefix("nodes.") in names]
    neurons = sum(row.neurons for row in rows)
    spikes = sum(row.spikes_out or 0.0 for row in rows)
    return spikes / neurons if neurons else None
