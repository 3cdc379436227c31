"""Methods: published ways to convert a network, each a recipe over the same parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal, get_args

from dse.errors import ConversionFailure
from energy_models.errors import nearest

Threshold = Literal[
    "max",
    "percentile",
    "percentile-by-channel",
    "model-based",
    "bound",
    "bound-or-percentile",
    "spike-norm",
    "mmse",
    "rate-norm",
    "distribution",
    "unit",
]
Initial = Literal[
    "zero",
    "half",
    "training-set",
    "training-set-from-zero",
    "training-set-by-channel",
    "training-set-unguarded",
    "mean-residual",
]
Coding = Literal["direct", "rate", "rate-compensated", "rate-compensated-late", "poisson"]
Calibration = Literal["none", "bias", "dual-phase"]
Tuning = Literal["none", "surrogate", "spike-time"]


@dataclass(frozen=True, slots=True)
class Method:
    """A way to convert.

    source : authors, venue, year
    threshold, percentile, threshold_scale : how high thresholds are      reset : soft or hard
    gain : a spike is worth so many thresholds: 1 / threshold_scale where those alone are scaled
    initial : potential before the first step       shifts : threshold / 2T is added at each step
    coding : what enters the first layer        calibration : of each layer, on training images
    noisy_epochs : the ANN is trained so long with activations that are quantised at random
    tuning, tuning_epochs : how the spiking network is trained on, and how long
    is_reconstruction : the authors' text could not be read; what is here is inferred
    """

    name: str
    title: str
    source: str
    threshold: Threshold = "percentile"
    percentile: float = 99.9
    threshold_scale: float = 1.0
    gain: float = 1.0
    reset: Literal["soft", "hard"] = "soft"
    initial: Initial = "zero"
    shifts: bool = False
    coding: Coding = "direct"
    calibration: Calibration = "none"
    noisy_epochs: int = 0
    tuning: Tuning = "none"
    tuning_epochs: int = 0
    is_reconstruction: bool = False

    @property
    def has_percentile(self) -> bool:
        """Whether `percentile` can tell a threshold of it."""
        return "percentile" in self.threshold or self.threshold == "distribution"

    @property
    def depends_on_time_steps(self) -> bool:
        """Whether a network of fewer steps is another one, not the start of this one."""
        return (
            self.shifts
            or self.initial.startswith(("training-set", "mean-residual"))
            or self.threshold in ("mmse", "distribution")
            or self.calibration != "none"
            or self.noisy_epochs > 0
            or self.tuning != "none"
            or self.coding.startswith("rate-compensated")
        )


_METHODS = (
    Method(
        "normalise-max",
        "thresholds at the largest activation, hard reset",
        "Diehl, Neil, Binas, Cook, Liu and Pfeiffer, IJCNN 2015",
        threshold="max",
        reset="hard",
        coding="poisson",
    ),
    Method(
        "normalise-percentile",
        "thresholds at a percentile of the activations, soft reset",
        "Rueckauer, Lungu, Hu, Pfeiffer and Liu, Frontiers in Neuroscience 2017",
    ),
    Method(
        "spike-norm",
        "thresholds at the largest current that spikes cause, layer by layer",
        "Sengupta, Ye, Wang, Liu and Roy, Frontiers in Neuroscience 2019",
        threshold="spike-norm",
        reset="hard",
        coding="poisson",
    ),
    Method(
        "soft-reset",
        "thresholds of SPIKE-NORM, and residual potentials that stay",
        "Han, Srinivasan and Roy, CVPR 2020 (RMP-SNN)",
        threshold="spike-norm",
        coding="poisson",
    ),
    Method(
        "threshold-shift",
        "half a threshold, spread over all steps, is added to the currents",
        "Deng and Gu, ICLR 2021",
        threshold="max",
        shifts=True,
    ),
    Method(
        "opi",
        "potentials start at half the threshold",
        "Bu, Ding, Yu and Huang, AAAI 2022",
        threshold="max",
        initial="half",
    ),
    Method(
        "qcfs",
        "trained with quantised activations, whose bounds are the thresholds",
        "Bu, Fang, Ding, Dai, Yu and Huang, ICLR 2022",
        threshold="bound",
        initial="half",
    ),
    Method(
        "rate-norm",
        "thresholds as learned shares of the largest activation",
        "Ding, Yu, Tian and Huang, IJCAI 2021",
        threshold="rate-norm",
    ),
    Method(
        "dual-phase",
        "trained on with noisy quantisation, then potentials and weights are fitted layer by layer",
        "Wang, Lian, Zhang, Cui, Yan and Tang, arXiv:2205.07473, 2022",
        threshold="bound-or-percentile",
        initial="half",
        calibration="dual-phase",
        noisy_epochs=1,
    ),
    Method(
        "hybrid",
        "thresholds of SPIKE-NORM, then trained on through the times of spikes",
        "Rathi, Srinivasan, Panda and Roy, ICLR 2020",
        threshold="spike-norm",
        threshold_scale=0.7,
        gain=1 / 0.7,
        coding="poisson",
        tuning="spike-time",
        tuning_epochs=1,
    ),
    Method(
        "distribution-aware",
        "threshold and height of a spike from the distribution of currents, then trained on",
        "Datta and Beerel, DATE 2022",
        threshold="distribution",
        tuning="surrogate",
        tuning_epochs=1,
        is_reconstruction=True,
    ),
    Method(
        "light-calibration",
        "thresholds of least squared error by channel, and mean errors moved into biases",
        "Li, Deng, Dong, Gong and Gu, ICML 2021",
        threshold="mmse",
        shifts=True,
        calibration="bias",
    ),
    Method(
        "icsnn-1",
        "potentials from the trained ANN: half of a threshold that it tells",
        "Li, Shang, Shi, Gao and Zhang, Mathematics 2023, algorithm 1",
        threshold="bound-or-percentile",
        initial="half",
        is_reconstruction=True,
    ),
    Method(
        "icsnn-2",
        "potentials from the training set: each neuron's mean error is given back",
        "Li, Shang, Shi, Gao and Zhang, Mathematics 2023, algorithm 2",
        threshold="bound-or-percentile",
        initial="training-set",
        is_reconstruction=True,
    ),
    Method(
        "icsnn",
        "potentials from the training set, and what the coding of the data loses is given back",
        "Li, Shang, Shi, Gao and Zhang, Mathematics 2023, algorithms 2 and 3",
        threshold="bound-or-percentile",
        initial="training-set",
        coding="rate-compensated",
        is_reconstruction=True,
    ),
)
METHODS: Mapping[str, Method] = MappingProxyType({method.name: method for method in _METHODS})


def load(name: str) -> Method:
    """A method by name. Raises ConversionFailure, with the nearest name, if there is none."""
    if name not in METHODS:
        raise ConversionFailure(f'method "{name}": unknown.{nearest(name, METHODS)}')
    return METHODS[name]


def adjusted(method: Method, **values: object) -> Method:
    """A method with some parts of another kind; None leaves a part as it is.

    Raises ConversionFailure for a kind that a part does not have.
    """
    given = {name: value for name, value in values.items() if value is not None}
    found = replace(method, **given)  # type: ignore[arg-type]
    refuse_unknown(found)
    return found


def refuse_unknown(method: Method) -> None:
    """Raise ConversionFailure for a kind of part that nobody has made."""
    for part, kinds in _PARTS.items():
        kind = getattr(method, part)
        if kind not in kinds:
            raise ConversionFailure(
                f'{part} "{kind}": must be one of {", ".join(kinds)}.{nearest(str(kind), kinds)}'
            )


_PARTS: Mapping[str, tuple[str, ...]] = {
    "threshold": get_args(Threshold),
    "initial": get_args(Initial),
    "coding": get_args(Coding),
    "reset": ("soft", "hard"),
    "calibration": get_args(Calibration),
    "tuning": get_args(Tuning),
}
