"""Parsing: the nodes of a NIR file as a graph, whoever wrote them.

Nothing is guessed: a type or a field that is unknown here is refused by name, and so is metadata of
ours that contradicts the node it stands in. Of a neuron without our metadata the fields alone
count, and the version of the file where they leave the reset open; see `dse.interchange.nodes`.
"""

from __future__ import annotations

import graphlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dse.errors import InterchangeFailure
from dse.interchange.graph import (
    CODINGS,
    Convolution,
    Draft,
    Flatten,
    Graph,
    Input,
    Linear,
    Operation,
    Output,
    Pair,
    Pool,
    Scale,
    Shape,
    Spiking,
    Step,
)
from dse.interchange.nodes import PREFIX

MOST_STEPS = 1 << 16
_TOLERANCE = 1e-5  # of fields in 32 bits
_NO_NUMBERS = ("type", "metadata")  # of every node
_LAST_SOFT = (1, 0, 4)  # from then on a neuron goes to v_reset


def parsed(
    tree: Mapping[str, Any], *, time_steps: int | None = None, step_s: float | None = None
) -> Graph:
    """The graph of a NIR file.

    tree : its content, texts and arrays and dictionaries of them
    time_steps, step_s : T, and the seconds of a step of Euler's method, where it says none
    Raises InterchangeFailure, with the name of the node, for what is not known here.
    """
    content = _Fields("graph", _group("graph", tree.get("node")))
    content.refuse_unknown("nodes", "edges")
    if content.text("type") != "NIRGraph":
        raise InterchangeFailure(f"graph: type {content.text('type')}: must be NIRGraph")
    nodes = _group("graph: nodes", content.values.get("nodes"))
    sources = _sources(content.values.get("edges"), nodes)
    extra = content.metadata
    steps, step_s = extra.get("time_steps", time_steps), extra.get("step_s", step_s)
    if steps is None:
        raise InterchangeFailure("graph: it does not say how many time steps: must be given")
    if step_s is not None and not (isinstance(step_s, float) and 0 < step_s < math.inf):
        raise InterchangeFailure(f"graph: step_s {step_s!r:.40}: must be seconds above 0")
    word = _word("graph: coding", extra.get("coding", "direct"), CODINGS)
    version = str(tree.get("version", ""))
    draft = Draft()
    for name in _ordered(sources):
        values = _Fields(name, _group(name, nodes[name]))
        operation = _operation(values, _Clock(step_s, version))
        draft.add(name, operation, sources[name])
    coding = next(one for one in CODINGS if one == word)
    return draft.done(_whole("graph: time_steps", steps, 1, MOST_STEPS), coding)


@dataclass(frozen=True, slots=True)
class _Clock:
    """What the neurons of a file need to know of the whole. step_s : None if nobody says"""

    step_s: float | None
    version: str

    @property
    def is_soft(self) -> bool:
        """Whether a neuron without v_reset subtracts its threshold."""
        parts = self.version.split(".")
        numbers = tuple(int(part) for part in parts if part.isdecimal() and len(part) < 9)
        return len(numbers) == len(parts) and numbers <= _LAST_SOFT


@dataclass(slots=True)
class _Fields:
    """What stands in a node."""

    name: str
    values: Mapping[str, Any]
    metadata: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        kept = self.values.get("metadata", {})
        found = _group(f"{self.name}: metadata", kept)
        self.metadata = {
            key.removeprefix(PREFIX): value.item() if _is_scalar(value) else value
            for key, value in found.items()
            if key.startswith(PREFIX)
        }

    def refuse_unknown(self, *known: str) -> None:
        """Raise InterchangeFailure for a field that would be passed over."""
        unknown = sorted(set(self.values) - {*_NO_NUMBERS, *known})
        if unknown:
            raise InterchangeFailure(
                f"{self.name}: field {unknown[0]} of {self.values.get('type')}: must be one of "
                f"{', '.join(known)}"
            )

    def text(self, key: str) -> str:
        """A text."""
        value = self.values.get(key)
        if not isinstance(value, str):
            raise InterchangeFailure(f"{self.name}: {key}: must be a text")
        return value

    def tensor(self, key: str) -> Tensor:
        """Numbers, as they are stored; whole ones as float32."""
        return _tensor(f"{self.name}: {key}", self.values.get(key))

    def whole(self, key: str, low: int) -> int:
        """A whole number."""
        value = self.values.get(key)
        return _whole(f"{self.name}: {key}", value, low, MOST_STEPS)

    def pair(self, key: str, low: int) -> Pair:
        """Two whole numbers, or one that stands for both."""
        value = np.atleast_1d(np.asarray(self.values.get(key)))
        if value.dtype.kind not in "iu" or value.shape not in ((1,), (2,)):
            raise InterchangeFailure(f"{self.name}: {key}: must be two whole numbers")
        ends = [_whole(f"{self.name}: {key}", one, low, MOST_STEPS) for one in value.tolist()]
        return ends[0], ends[-1]

    def shape(self, key: str) -> Shape:
        """Sizes."""
        value = np.atleast_1d(np.asarray(self.values.get(key)))
        if value.dtype.kind not in "iu" or value.ndim != 1 or not 1 <= value.size <= 3:
            raise InterchangeFailure(f"{self.name}: {key}: must be (N,) or (C, H, W)")
        return tuple(_whole(f"{self.name}: {key}", one, 1, 1 << 31) for one in value.tolist())


def _operation(fields: _Fields, clock: _Clock) -> Operation:
    kind = fields.text("type")
    parse = _PARSERS.get(kind)
    if parse is None:
        raise InterchangeFailure(
            f"{fields.name}: type {kind[:40]}: must be one of {', '.join(_PARSERS)}"
        )
    return parse(fields, clock)


def _input(fields: _Fields, clock: _Clock) -> Operation:
    fields.refuse_unknown("shape")
    return Input(fields.shape("shape"))


def _output(fields: _Fields, clock: _Clock) -> Operation:
    fields.refuse_unknown("shape")
    return Output()


def _linear(fields: _Fields, clock: _Clock) -> Operation:
    fields.refuse_unknown("weight")
    return Linear(_weights(fields, 2))


def _affine(fields: _Fields, clock: _Clock) -> Operation:
    fields.refuse_unknown("weight", "bias")
    return Linear(_weights(fields, 2), fields.tensor("bias"))


def _convolution(fields: _Fields, clock: _Clock) -> Operation:
    fields.refuse_unknown(
        "input_shape", "weight", "stride", "padding", "dilation", "groups", "bias"
    )
    return Convolution(
        _weights(fields, 4),
        fields.tensor("bias"),
        fields.pair("stride", 1),
        fields.pair("padding", 0),
        fields.pair("dilation", 1),
        fields.whole("groups", 1),
    )


def _pool(fields: _Fields, clock: _Clock) -> Operation:
    fields.refuse_unknown("kernel_size", "stride", "padding")
    if fields.pair("padding", 0) != (0, 0):
        raise InterchangeFailure(f"{fields.name}: padding of a pool: must be 0")
    kind = "sum" if fields.text("type") == "SumPool2d" else "average"
    return Pool(kind, fields.pair("kernel_size", 1), fields.pair("stride", 1))  # type: ignore[arg-type]


def _flatten(fields: _Fields, clock: _Clock) -> Operation:
    fields.refuse_unknown("input_type", "start_dim", "end_dim")
    start, end = (np.asarray(fields.values.get(key)) for key in ("start_dim", "end_dim"))
    if start.shape or end.shape or (start.item(), end.item()) not in ((0, -1), (0, 2)):
        raise InterchangeFailure(f"{fields.name}: flattens a part: must be from 0 to the last")
    return Flatten()


def _scale(fields: _Fields, clock: _Clock) -> Operation:
    fields.refuse_unknown("scale")
    return Scale(fields.tensor("scale"))


def _threshold(fields: _Fields, clock: _Clock) -> Operation:
    fields.refuse_unknown("threshold")
    return Step(_next_above(fields.tensor("threshold")))


def _neurons(fields: _Fields, clock: _Clock) -> Operation:
    is_leaky = fields.text("type") == "LIF"
    fields.refuse_unknown(*(("tau", "v_leak") if is_leaky else ()), "r", "v_threshold", "v_reset")
    if clock.step_s is None:
        raise InterchangeFailure(
            f"{fields.name}: the file does not say how long a step is: must be given"
        )
    given = {key: fields.tensor(key).shape for key in fields.values if key not in _NO_NUMBERS}
    if len(set(given.values())) > 1:
        raise InterchangeFailure(
            f"{fields.name}: {', '.join(f'{key} {tuple(size)}' for key, size in given.items())}: "
            "must have one shape"
        )
    resistance = fields.tensor("r").double()
    gain, leak = resistance * clock.step_s, torch.ones((), dtype=torch.float64)
    if is_leaky:
        _refuse_unless_zero(fields, "v_leak")
        share = clock.step_s / fields.tensor("tau").double()
        gain, leak = resistance * share, 1.0 - share
    has_reset = "v_reset" in fields.values
    if has_reset:
        _refuse_unless_zero(fields, "v_reset")
    extra = fields.metadata
    is_soft = clock.is_soft and not has_reset
    if "reset" in extra:
        word = _word(f"{fields.name}: reset", extra["reset"], ("soft", "hard"))
        is_soft = word == "soft"
    initial = torch.zeros((), dtype=torch.float64)
    if "initial_potential" in extra:
        initial = _tensor(f"{fields.name}: initial_potential", extra["initial_potential"])
    return Spiking(
        _next_above(fields.tensor("v_threshold")),
        _exact(fields, "leak", leak),
        _exact(fields, "gain", gain),
        initial.double(),
        is_soft,
    )


def _exact(fields: _Fields, key: str, of_fields: Tensor) -> Tensor:
    """A number of our metadata, which the fields have in 32 bits only, or that of the fields."""
    if key not in fields.metadata:
        return of_fields
    exact = _tensor(f"{fields.name}: {key}", fields.metadata[key]).double()
    try:
        is_near = torch.allclose(exact, of_fields, rtol=_TOLERANCE, atol=_TOLERANCE)
    except RuntimeError:  # shapes that do not go together
        is_near = False
    if not is_near:
        raise InterchangeFailure(
            f"{fields.name}: {key} in its metadata contradicts tau and r: must be the same"
        )
    return exact


def _refuse_unless_zero(fields: _Fields, key: str) -> None:
    if bool((fields.tensor(key) != 0).any()):
        raise InterchangeFailure(f"{fields.name}: {key}: must be 0, as our neurons have it")


def _next_above(threshold: Tensor) -> Tensor:
    """The smallest float32 above a threshold of NIR: that from which on a float32 spikes."""
    single = threshold.float().numpy()
    return torch.from_numpy(np.asarray(np.nextafter(single, np.float32(np.inf)))).double()


def _weights(fields: _Fields, dimensions: int) -> Tensor:
    weight = fields.tensor("weight")
    if weight.dim() != dimensions:
        raise InterchangeFailure(
            f"{fields.name}: weights {tuple(weight.shape)}: must have {dimensions} dimensions"
        )
    return weight


def _sources(edges: Any, nodes: Mapping[str, Any]) -> dict[str, list[str]]:
    """By whom each node is fed, in the order of the file."""
    found: dict[str, list[str]] = {name: [] for name in nodes}
    for edge in edges if isinstance(edges, list) else [None]:
        if not (isinstance(edge, tuple) and len(edge) == 2):
            raise InterchangeFailure("graph: edges: must be pairs of names")
        source, name = edge
        for end in edge:
            if end not in found:
                raise InterchangeFailure(f"graph: an edge at {end!r:.60}: must be one of the nodes")
        if source in found[name]:
            raise InterchangeFailure(f"{name}: two edges from {source}: must be one")
        found[name].append(source)
    return found


def _ordered(sources: Mapping[str, list[str]]) -> list[str]:
    try:
        return list(graphlib.TopologicalSorter(sources).static_order())
    except graphlib.CycleError as error:
        raise InterchangeFailure(
            f"graph: {' -> '.join(error.args[1])}: recurrent: must go from input to output"
        ) from error


def _group(name: str, values: Any) -> Mapping[str, Any]:
    if not isinstance(values, Mapping):
        raise InterchangeFailure(f"{name}: must be a group of values")
    return values


def _tensor(where: str, value: Any) -> Tensor:
    array = np.asarray(value)
    if array.dtype.kind not in "fiu" or array.size == 0 or array.dtype.itemsize > 8:
        raise InterchangeFailure(f"{where}: must be numbers")
    double = array.dtype == np.float64
    return torch.from_numpy(np.array(array, np.float64 if double else np.float32))


def _word(where: str, value: Any, known: Sequence[str]) -> str:
    if not isinstance(value, str) or value not in known:
        raise InterchangeFailure(f"{where} {value!r:.40}: must be {' or '.join(known)}")
    return value


def _whole(where: str, value: Any, low: int, high: int) -> int:
    """A whole number between two others, both included."""
    array = np.asarray(value)
    if array.shape or array.dtype.kind not in "iu" or not low <= array.item() <= high:
        raise InterchangeFailure(f"{where}: must be a whole number from {low} to {high}")
    return int(array.item())


def _is_scalar(value: Any) -> bool:
    return isinstance(value, np.ndarray | np.generic) and value.shape == ()


_PARSERS: Mapping[str, Callable[[_Fields, _Clock], Operation]] = MappingProxyType(
    {
        "Input": _input,
        "Output": _output,
        "Linear": _linear,
        "Affine": _affine,
        "Conv2d": _convolution,
        "SumPool2d": _pool,
        "AvgPool2d": _pool,
        "Flatten": _flatten,
        "Scale": _scale,
        "Threshold": _threshold,
        "IF": _neurons,
        "LIF": _neurons,
    }
)
