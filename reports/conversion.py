"""Conversion: what one trained network becomes by many methods at many T, and what follows.

A document passes from the engine to the report; verdicts are computed here from what was read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

SCHEMA = 1
KIND = "conversion"
GAPS = (0.5, 1.0, 2.0)  # percentage points below the ANN
PARTS = ("clipping", "quantisation", "propagated", "unevenness")
_ROUNDING = 1e-9  # of accuracies in percentage points


@dataclass(frozen=True, slots=True)
class LayerError:
    """What a layer of neurons misses of the activations of its ANN, after T steps.

    activation_rms : of the ANN's activations      output_rms : of the mean outputs of the neurons
    mean, rms : of the whole error, `total`, and of its parts, over neurons and images; the parts
        add up to the whole for every neuron, and so do their means
    kept_share : of its neurons that kept the potential they were calibrated to
    """

    layer: str
    neurons: int
    threshold_low: float
    threshold_high: float
    activation_rms: float
    output_rms: float
    mean: Mapping[str, float]
    rms: Mapping[str, float]
    kept_share: float | None = None


@dataclass(frozen=True, slots=True)
class LayerWork:
    """What a layer does per sample in all T steps, and what that takes.

    layer : `(network)` for what belongs to no layer
    events : products by class and neuron events, by name      energy_pj : profile -> its share
    """

    layer: str
    operator: str
    events: Mapping[str, float]
    energy_pj: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Rate:
    """A spike rate at which a network costs as much as its ANN; text : the rate, or why none."""

    rate: float | None
    measured: float | None
    text: str


@dataclass(frozen=True, slots=True)
class Reading:
    """A method at a number of time steps.

    calibrated_for : T that its neurons were set up for, None if they are the same at every T
    reason : why there is no result; then everything behind it is empty
    validation, test : accuracy, 0..1; None if a logit was not finite
    spikes_per_neuron : in T steps, of the neurons that stand where activations were
    spikes : in T steps, with those that leave max-pools and neurons that code the data; spikes that
        are drawn of the data come from no neuron
    mac, ac, graded : effective products per sample      dense_mac : what most profiles charge
    energy_pj : profile -> total, None where something has no price      missing : what, there
    break_even : profile -> spike rate at which it costs as much as its ANN there
    kept_share : of neurons that kept the potentials they were calibrated to, mean over layers
    layers : their errors, of those with neurons      work : of all layers
    """

    time_steps: int
    calibrated_for: int | None = None
    reason: str = ""
    validation: float | None = None
    test: float | None = None
    spikes_per_neuron: float | None = None
    spikes: float | None = None
    mac: float | None = None
    dense_mac: float | None = None
    ac: float | None = None
    graded: float | None = None
    energy_pj: Mapping[str, float | None] = field(default_factory=dict)
    missing: Mapping[str, Sequence[str]] = field(default_factory=dict)
    break_even: Mapping[str, Rate] = field(default_factory=dict)
    kept_share: float | None = None
    notes: tuple[str, ...] = ()
    layers: tuple[LayerError, ...] = ()
    work: tuple[LayerWork, ...] = ()


@dataclass(frozen=True, slots=True)
class MethodReadings:
    """A method and what came of it at each T, in ascending order.

    recipe : its parts      changed : those that are not as published
    is_one_pass : whether every T was read from one network and one pass
    """

    name: str
    title: str
    source: str
    is_reconstruction: bool
    recipe: Mapping[str, Any]
    changed: tuple[str, ...]
    is_one_pass: bool
    readings: tuple[Reading, ...]

    @property
    def label(self) -> str:
        """Its name, with a mark if it is a reconstruction, and one if parts of it were changed."""
        return f"{self.name}{' †' if self.is_reconstruction else ''}{' *' if self.changed else ''}"

    def read(self) -> list[Reading]:
        """The readings with a result."""
        return [one for one in self.readings if not one.reason]

    def reasons(self) -> dict[str, list[int]]:
        """Why there is no result -> at which T."""
        found: dict[str, list[int]] = {}
        for one in self.readings:
            if one.reason:
                found.setdefault(one.reason, []).append(one.time_steps)
        return found


@dataclass(frozen=True, slots=True)
class Source:
    """The ANN that was converted.

    validation, test : accuracy, 0..1      mac : effective products per sample
    energy_pj : profile -> total of one dense pass, None where something has no price
    """

    target: str
    model: str
    activations: tuple[str, ...]
    parameters: int
    validation: float | None
    test: float | None
    mac: float
    dense_mac: float
    energy_pj: Mapping[str, float | None]
    missing: Mapping[str, Sequence[str]]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """A number of time steps, and why it is no end; or why there is none."""

    time_steps: int | None
    reason: str = ""

    @property
    def text(self) -> str:
        """For a table: `16`, `≥ 16` where nothing longer was read, or a dash."""
        if self.time_steps is None:
            return "–"
        return f"≥ {self.time_steps}" if self.reason else str(self.time_steps)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One network, converted by methods and read at numbers of time steps.

    samples : images for training, validation, test, calibration, and for operations and errors
    settings : how it was made, in words
    """

    name: str
    data: str
    source: Source
    hardware: tuple[str, ...]
    steps: tuple[int, ...]
    samples: Mapping[str, int]
    settings: Mapping[str, str]
    notes: tuple[str, ...]
    methods: tuple[MethodReadings, ...]

    def within(self, method: MethodReadings, gap: float) -> Verdict:
        """First T read from which on it stays within so many percentage points of its ANN.

        On validation data, at every longer T that was read.
        """
        return within(method.readings, self.source.validation, gap)

    def cheaper_up_to(self, method: MethodReadings, profile: str) -> Verdict:
        """Largest T read at which it costs less than its ANN on a profile."""
        return cheaper_up_to(method.readings, self.source.energy_pj.get(profile), profile)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, the verdicts of every method with them."""
        document = {"schema": SCHEMA, "kind": KIND, **asdict(self)}
        for method, row in zip(self.methods, document["methods"], strict=True):
            row["within_points"] = {f"{g:g}": asdict(self.within(method, g)) for g in GAPS}
            row["cheaper_than_ann_up_to"] = {
                name: asdict(self.cheaper_up_to(method, name)) for name in self.hardware
            }
        return document

    def problems(self) -> Iterator[str]:
        """What went wrong with which method, once."""
        for method in self.methods:
            for reason, steps in method.reasons().items():
                everywhere = len(steps) == len(method.readings)
                at = "" if everywhere else f" at T = {', '.join(map(str, steps))}"
                yield f"{method.name}{at}: {reason}"


def within(readings: Sequence[Reading], ann: float | None, gap: float) -> Verdict:
    """First T from which on no accuracy is more than `gap` percentage points below the ANN's.

    readings : in ascending order of T; one without a result is not within
    ann : accuracy of the ANN on the same images, 0..1
    """
    if ann is None:
        return Verdict(None, "the accuracy of the ANN is not known")
    found = None
    for one in reversed(readings):
        if one.validation is None or 100 * (ann - one.validation) > gap + _ROUNDING:
            break
        found = one.time_steps
    if found is None:
        last = readings[-1]
        if last.reason:
            return Verdict(None, f"no result at T = {last.time_steps}: {last.reason}")
        if last.validation is None:
            return Verdict(None, f"a logit is not finite at T = {last.time_steps}")
        missed = 100 * (ann - last.validation)
        return Verdict(
            None, f"{missed:.2f} points below the ANN at T = {last.time_steps}, the longest read"
        )
    return Verdict(found)


def cheaper_up_to(readings: Sequence[Reading], ann_pj: float | None, profile: str) -> Verdict:
    """Largest T at which the energy on a profile is below that of the ANN there.

    readings : in ascending order of T      ann_pj : None if it is incomplete
    """
    if ann_pj is None:
        return Verdict(None, f"the ANN has no complete energy on {profile}")
    known = [
        (one.time_steps, energy_pj)
        for one in readings
        if (energy_pj := one.energy_pj.get(profile)) is not None
    ]
    if not known:
        return Verdict(None, f"no complete energy on {profile}")
    cheaper = [steps for steps, energy_pj in known if energy_pj < ann_pj]
    if not cheaper:
        steps, energy_pj = min(known, key=lambda pair: pair[1])
        ratio = f"{energy_pj / ann_pj:.3g} times the ANN" if ann_pj else "the ANN costs nothing"
        return Verdict(None, f"dearer at every T read: at least {ratio}, at T = {steps}")
    longest = known[-1][0]
    if cheaper[-1] == longest:
        return Verdict(longest, f"still cheaper at T = {longest}, the longest read")
    return Verdict(cheaper[-1])
