"""Which of Lemaire's formulas hold for a row, the sizes they ask for, and why none holds."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import numpy as np

from energy_models.bill import Gap
from energy_models.columns import Columns, Floats, Mask
from energy_models.counts import ModelCounts
from energy_models.layers import Geometry, LayerCounts
from energy_models.profile import HardwareProfile

_DERIVED = "lemaire rows"
_ROUNDED = 1e-6  # outputs are totals divided by the number of samples


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sizes of one evaluation of a layer; of a matrix, the spatial ones are 1.

    size_in, size_out : values of the input and of the output
    kernel : K_h K_w      reached : ceil(K_h / S_h) ceil(K_w / S_w), outputs that an input enters
    channels : C_out, as many biases      channels_out : C_out of one group, which a spike enters
    """

    size_in: float
    size_out: float
    kernel: float
    reached: float
    channels: float
    channels_out: float


@dataclass(frozen=True)
class Rows:
    """What the formulas ask of every row, (rows,) each.

    is_spiking, is_formal, is_neuron : which formulas hold; none of them for a row with a gap
    is_conv : of the first two, the formulas of a convolution
    feeds_neurons : some row of neurons reads its output
    has_neurons : the network of the row has neurons
    is_stateless : the network has one step, and its potentials start at zero and are not kept
    times : how often an evaluation is paid      evaluations : how often the layer was evaluated
    sizes : of a layer, 0 elsewhere
    guessed : rows of neurons that do not say who feeds them, and the layers taken to do so
    """

    is_spiking: Mask
    is_formal: Mask
    is_neuron: Mask
    is_conv: Mask
    feeds_neurons: Mask
    has_neurons: Mask
    is_stateless: Mask
    times: Floats
    evaluations: Floats
    sizes: dict[str, Floats]
    guessed: tuple[tuple[int, int], ...]
    gaps: tuple[Gap, ...]

    @classmethod
    def of(cls, columns: Columns, profile: HardwareProfile) -> Rows:
        """A row is spiking if its input is unsigned unit spikes, formal if it is real."""
        known = columns.derived.get(_DERIVED)
        found = known if isinstance(known, Rows) else cls._of_once(columns)
        columns.derived[_DERIVED] = found
        is_again = profile.switches.first_layer == "every-step"
        return replace(found, times=columns["reused_steps"]) if is_again else found

    @classmethod
    def _of_once(cls, columns: Columns) -> Rows:
        """As if every evaluation were paid once."""
        refused = [_refusal(row, columns.counts[d]) for row, d in _each(columns)]
        is_neuron = np.array([row.operator == "neuron" for row in columns.rows], dtype=np.bool_)
        is_layer = np.array([not text for text in refused], dtype=np.bool_) & ~is_neuron
        is_spiking = is_layer & np.array([row.input_kind == "unit" for row in columns.rows], bool)
        is_conv = [row.operator == "convolution" for row in columns.rows]
        sizes = [
            _sizes(row.geometry) if is_priced and row.geometry is not None else _NO_SIZES
            for row, is_priced in zip(columns.rows, is_layer, strict=True)
        ]
        table = {
            field.name: np.array([getattr(one, field.name) for one in sizes], dtype=np.float64)
            for field in fields(Sizes)
        }
        evaluations = np.divide(
            columns["outputs"],
            table["size_out"],
            out=np.zeros(len(columns.rows)),
            where=table["size_out"] > 0,
        )
        guessed = tuple(_guessed(columns))
        with_neurons = columns.by_design(is_neuron.astype(np.float64)) > 0
        return cls(
            is_spiking=is_spiking,
            is_formal=is_layer & ~is_spiking,
            is_neuron=is_neuron,
            is_conv=np.array(is_conv, dtype=np.bool_),
            feeds_neurons=_feeding(columns, guessed),
            has_neurons=np.asarray(with_neurons[columns.design], dtype=np.bool_),
            is_stateless=stateless(columns)[columns.design],
            times=np.ones(len(columns.rows)),
            evaluations=evaluations,
            sizes=table,
            guessed=guessed,
            gaps=tuple(_gaps(refused)),
        )

    def __getitem__(self, size: str) -> Floats:
        """(rows,) a size of one evaluation."""
        return self.sizes[size]


def stateless(columns: Columns) -> Mask:
    """(designs,) networks of one step whose potentials start at zero and are not kept."""
    kept = columns.by_design(columns["state_read"] + columns["state_write"])
    found: Mask = (columns.time_steps == 1) & (kept == 0)
    return found


_NO_SIZES = Sizes(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def _each(columns: Columns) -> list[tuple[LayerCounts, int]]:
    return list(zip(columns.rows, columns.design.tolist(), strict=True))


def _refusal(row: LayerCounts, counts: ModelCounts) -> str:
    """Why no formula holds for a layer; empty if one does."""
    if row.operator == "neuron":
        return "neurons whose output is not made of spikes" if _is_graded_neuron(row) else ""
    if row.weight_kind == "activation":
        return "a product of two activations has no formula"
    if row.operator not in ("convolution", "linear"):
        return f"{row.operator} has no formula: there are convolutions and matrices of weights"
    if row.geometry is None:
        return "the counts hold no geometry, which the formulas need"
    if row.input_kind == "small-integers":
        return "graded input has no formula: there are spikes and real values"
    if row.input_kind not in ("unit", "real"):
        return "the kind of the input is not known: there are formulas for spikes and real values"
    if row.input_kind == "unit" and any(one.is_signed for one in row.operands):
        return "signed spikes have no formula"
    if row.input_kind == "unit" and row.spikes_in is None:
        return "how many spikes flowed in is not recorded: count it again"
    if row.input_kind == "real" and row.weight_kind == "binary":
        return "real input by binary weights has no formula: a MAC is not what happens"
    if _is_transposed(row.geometry):
        return "a transposed convolution has no formula"
    if not _is_once_a_step(row, row.geometry, counts.time_steps):
        return "several places (tokens) a step have no formula: a layer is evaluated once a step"
    return ""


def _is_graded_neuron(row: LayerCounts) -> bool:
    return row.spikes_out is None and row.updates.compare > 0


def _is_transposed(geometry: Geometry) -> bool:
    """Whether the sizes are not those of a plain convolution."""
    g = geometry
    axes = zip(g.in_size, g.out_size, g.kernel, g.stride, g.padding, g.dilation, strict=True)
    return any(
        out != (size + 2 * pad - reach * (taps - 1) - 1) // stride + 1
        for size, out, taps, stride, pad, reach in axes
    )


def _is_once_a_step(row: LayerCounts, geometry: Geometry, time_steps: int) -> bool:
    """Whether a call is one evaluation, or one for each time step folded into it."""
    size_out = geometry.c_out * math.prod(geometry.out_size)
    evaluations = row.outputs / size_out
    a_call = evaluations / max(len(row.calls), 1)
    may_be = [a_call - 1, evaluations - 1]
    is_called_each_step = len(row.calls) == time_steps > 1  # then T in one call are tokens
    if row.reused_steps == 1 and not is_called_each_step:
        may_be.append(a_call - time_steps)
    return any(abs(difference) < _ROUNDED for difference in may_be)


def _sizes(geometry: Geometry) -> Sizes:
    g = geometry
    return Sizes(
        size_in=g.c_in * math.prod(g.in_size),
        size_out=g.c_out * math.prod(g.out_size),
        kernel=math.prod(g.kernel),
        reached=math.prod(-(-k // s) for k, s in zip(g.kernel, g.stride, strict=True)),
        channels=g.c_out,
        channels_out=g.c_out // g.groups,
    )


def _feeding(columns: Columns, guessed: tuple[tuple[int, int], ...]) -> Mask:
    """(rows,) rows that some row of neurons of the same network reads."""
    told = {(d, name) for row, d in _each(columns) for name in row.fed_by}
    found = np.array([(d, row.name) in told for row, d in _each(columns)], dtype=np.bool_)
    found[[layer for _, layer in guessed]] = True
    return found


def _guessed(columns: Columns) -> Iterator[tuple[int, int]]:
    """Neurons whose counts do not say who feeds them, each with the layer before it.

    Neurons that declare their events do not; rows stand in the order in which they ran.
    """
    last: tuple[int, int] | None = None  # design and index of the last layer
    for index, (row, design) in enumerate(_each(columns)):
        if row.operator != "neuron":
            last = design, index
        elif not row.fed_by and last is not None and last[0] == design:
            yield index, last[1]


def _gaps(refused: list[str]) -> list[Gap]:
    texts = [text for text in dict.fromkeys(refused) if text]
    return [Gap(text, np.array([one == text for one in refused], np.bool_)) for text in texts]
