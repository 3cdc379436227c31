"""Conventions: what the field's formulas and counters would print for the same counts.

Each is computed from the count document alone. Where a tool decides by the values of one call, the
calls are told apart if the document does (`LayerCounts.call_operands`); else they are decided
together, and a note names the layer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any

from energy_models.counts import ModelCounts
from energy_models.errors import CountsError
from energy_models.layers import LayerCounts, ModuleCounts
from energy_models.readings import (
    ACTIVATIONS,
    BATCH_NORM,
    LINEAR_AND_CONV,
    NORMS,
    POOLS,
    RNN,
    RNN_CELL,
    TRANSPOSED,
    Call,
    Decision,
    calls_of,
    dense_inside,
    is_doubtful,
    is_layer_of,
    is_ternary,
    is_zero_or_one,
    layers_with_products,
    magnitude_of,
    mean_of_two_values,
    module_of,
    reached_by,
    share,
    torch_classes,
)

_SYOPS_OWN_WAY = (
    torch_classes("rnn", "RNN GRU LSTM RNNCell GRUCell LSTMCell")
    | torch_classes("activation", "MultiheadAttention")
    | torch_classes("upsampling", "Upsample")
)
_TOGETHER = "decided by the values of several calls together"
_SYOPS_NEURONS = frozenset({"IFNode", "LIFNode", "ParametricLIFNode"})
_RUNS_OPEN_IF_HOOKED = "_transformer_encoder_layer_fwd"
_SPIKINGJELLY_RULES = frozenset({"convolution", "mm", "addmm", "bmm", "baddbmm"})


@dataclass(frozen=True, slots=True)
class Convention:
    """What one formula or tool says of a network, per sample.

    source : paper, or tool and version     says : what it counts, in one sentence
    ac, mac : None where it has no such number, or where it does not follow from the document
    total : their sum, or all operations of a convention without classes
    dense : what it prints without skipping zeros
    neuron_updates : None where it counts no neurons
    ac_off_percent, mac_off_percent, total_off_percent : distance from the exact effective number;
        None without a number, or where the exact one is 0
    notes : what it does not see, what makes it crash, what could not be reproduced
    """

    name: str
    source: str
    says: str
    ac: float | None
    mac: float | None
    total: float | None
    dense: float | None
    neuron_updates: float | None
    ac_off_percent: float | None
    mac_off_percent: float | None
    total_off_percent: float | None
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The fields by name."""
        return {f.name: getattr(self, f.name) for f in fields(self)} | {"notes": list(self.notes)}


def compare(counts: ModelCounts) -> list[Convention]:
    """The exact counts, and beside them what each convention makes of the same network.

    Raises CountsError if the document does not say what flowed into the layers.
    """
    for layer in layers_with_products(counts):
        if not layer.operands or layer.geometry is None:
            raise CountsError(
                f"counts: layer {layer.name!r} does not say what its operands held, on which the "
                "conventions depend; count the network again"
            )
    rules = (_exact, _rate_x_dense, _syops, _neurobench, _spikingjelly, _keras_spiking)
    return [rule(counts).row(counts) for rule in rules]


@dataclass(slots=True)
class _Tally:
    """A convention while it is being added up; a number that has become None stays None."""

    name: str
    source: str
    says: str
    ac: float | None = 0.0
    mac: float | None = 0.0
    dense: float | None = 0.0
    total: float | None = None
    neuron_updates: float | None = None
    notes: dict[str, dict[str, None]] = field(default_factory=dict)

    def add(self, *, ac: float = 0.0, mac: float = 0.0, dense: float = 0.0) -> None:
        self.ac = None if self.ac is None else self.ac + ac
        self.mac = None if self.mac is None else self.mac + mac
        self.dense = None if self.dense is None else self.dense + dense

    def note(self, text: str, *names: str) -> None:
        """Say something once, with all the layers that it is about."""
        self.notes.setdefault(text, {}).update(dict.fromkeys(name or "(root)" for name in names))

    def calls(self, layer: LayerCounts, decide: Decision, counts: ModelCounts) -> list[Call]:
        """The calls that can be told apart, and a note if one may be decided wrongly for that."""
        if is_doubtful(layer, decide, counts.batches):
            self.note(_TOGETHER, layer.name)
        return calls_of(layer)

    def sees_otherwise(self, layer: LayerCounts) -> bool:
        """Give up the numbers of a tool whose hooks let a fused layer run as its modules."""
        is_so = layer.made_by == _RUNS_OPEN_IF_HOOKED
        if is_so:
            self.ac = self.mac = self.dense = None
            self.note("its hooks would keep the layer from being fused, and see parts", layer.name)
        return is_so

    def row(self, counts: ModelCounts) -> Convention:
        """The finished row, with its distances from the exact counts."""
        exact = counts.ops
        total = self.total
        if total is None and self.ac is not None and self.mac is not None:
            total = self.ac + self.mac
        if counts.uncounted:
            self.note("not counted here, whatever it would say", *counts.uncounted)
        return Convention(
            name=self.name,
            source=self.source,
            says=self.says,
            ac=self.ac,
            mac=self.mac,
            total=total,
            dense=self.dense,
            neuron_updates=self.neuron_updates,
            ac_off_percent=_off_percent(self.ac, exact.ac),
            mac_off_percent=_off_percent(self.mac, exact.mac),
            total_off_percent=_off_percent(total, exact.effective),
            notes=tuple(
                f"{text}: {', '.join(names)}" if names else text
                for text, names in self.notes.items()
            ),
        )


def _exact(counts: ModelCounts) -> _Tally:
    ops = counts.ops
    tally = _Tally("exact", "this count", "products whose two operands are both non-zero")
    tally.add(ac=ops.ac, mac=ops.mac, dense=ops.dense)
    tally.total = ops.effective
    tally.neuron_updates = counts.updates.compare if counts.has_neurons else None
    for name, value in (("graded", ops.graded), ("binary", ops.binary)):
        if value:
            tally.note(f"{value:.15g} {name} products are in the total, neither AC nor MAC")
    return tally


def _rate_x_dense(counts: ModelCounts) -> _Tally:
    tally = _Tally(
        "rate x dense",
        "the papers' formula: AC = firing rate x T x dense, MAC = dense",
        "dense products times the share of inputs that spike; a layer whose input is not spikes of "
        "one height is dense MACs",
    )
    for layer in layers_with_products(counts):
        tally.add(dense=layer.ops.dense)
        spikes = [operand for operand in layer.operands if operand.kind == "unit"]
        if spikes:
            tally.add(ac=layer.ops.dense * share(spikes[0].nonzero, spikes[0].elements))
        else:
            tally.add(mac=layer.ops.dense)
        if len(spikes) == 2:
            tally.note("two spiking factors, of which the first gives the rate", layer.name)
        if layer.reused_steps > 1:
            tally.note("evaluated once for all steps and counted once", layer.name)
    return tally


def _syops(counts: ModelCounts) -> _Tally:
    tally = _Tally(
        "syops",
        "syops 0.0.5",
        "dense products and biases times the mean of the input (AC) if a call's input holds at "
        "most two values, both within 0 and 1, else dense (MAC); normalisation, pooling, "
        "activations and spikingjelly's IF and LIF neurons add their elements",
    )
    for layer in layers_with_products(counts):
        if tally.sees_otherwise(layer):
            continue
        if not is_layer_of(LINEAR_AND_CONV | TRANSPOSED, layer, counts, exact=True):
            tally.note("not seen, being no module of torch's own layer classes", layer.name)
            continue
        calls = tally.calls(layer, mean_of_two_values, counts)
        for call in calls:
            products = _syops_products(layer, call, len(calls), counts)
            _add_by_rate(tally, products, mean_of_two_values(call.operands[0]))
    if not counts.modules:
        tally.note(
            "layers alone: the modules beside them, which it counts, are not in the document"
        )
    for module in counts.modules:
        _syops_module(module, tally, counts.batches)
    return tally


def _syops_products(layer: LayerCounts, call: Call, calls: int, counts: ModelCounts) -> float:
    """Products of one of so many calls, by output positions even where it is transposed; and bias.

    A convolution adds its bias to every output value, a linear layer once a call of any batch.
    """
    g = layer.geometry
    assert g is not None
    outputs = layer.outputs * share(call.dense, layer.ops.dense)
    products = outputs * (g.c_in // g.groups) * math.prod(g.kernel)
    if not layer.has_bias:
        return products
    if layer.operator == "convolution":
        return products + outputs
    times = len(layer.calls) * counts.batches / calls
    return products + g.c_out * times / counts.samples


def _syops_module(module: ModuleCounts, tally: _Tally, batches: int) -> None:
    """What it counts of a module that is no layer."""
    kind = module.classes[0]
    shares = [share(one.elements, module.elements_in) for one in module.inputs] or [1.0]
    rates = [mean_of_two_values(one) for one in module.inputs] or [None]
    if kind in NORMS:
        elements = module.elements_in * (2 if module.has_weight else 1)
    elif kind in POOLS:
        elements = module.elements_in
        if not module.inputs:
            tally.note("pooled values are taken as real", module.name)
    elif kind in ACTIVATIONS:
        elements, shares, rates = module.elements_out, [1.0], [None]
    elif kind.startswith("spikingjelly.") and kind.rpartition(".")[2] in _SYOPS_NEURONS:
        elements, shares, rates = module.elements_in, [1.0], [1.0]
    else:
        elements, shares, rates = 0.0, [], []
    if kind in _SYOPS_OWN_WAY:
        tally.dense = None
        tally.note("adds to its dense total in a way that is not repeated", module.name)
    if batches > 1 and module.inputs and None in rates:
        tally.note(_TOGETHER, module.name)
    for part, rate in zip(shares, rates, strict=True):
        _add_by_rate(tally, elements * part, rate)


def _neurobench(counts: ModelCounts) -> _Tally:
    tally = _Tally(
        "NeuroBench",
        "neurobench 2.3.0, SynapticOperations",
        "effective products of Linear and Conv modules, AC if a call's input holds only -1, 0 and "
        "1, else MAC; dense without the taps in the padding",
    )
    for layer in layers_with_products(counts):
        if tally.sees_otherwise(layer):
            continue
        module = module_of(layer, counts)
        is_root = module is not None and module.name == ""
        if is_root or not is_layer_of(LINEAR_AND_CONV, layer, counts):
            tally.note("not seen, being no Linear or Conv module inside the model", layer.name)
            continue
        tally.add(dense=dense_inside(layer))
        for call in tally.calls(layer, is_ternary, counts):
            if is_ternary(call.operands[0]):
                tally.add(ac=call.effective)
            else:
                tally.add(mac=call.effective)
    for module in counts.modules:
        if not (RNN | RNN_CELL).isdisjoint(module.classes):
            tally.ac = tally.mac = tally.dense = None
            is_cell = RNN.isdisjoint(module.classes)
            what = "counted by a formula that is not repeated" if is_cell else "crashes, prints 0"
            tally.note(what, module.name)
    return tally


def _spikingjelly(counts: ModelCounts) -> _Tally:
    tally = _Tally(
        "SpikingJelly",
        "spikingjelly 2.0.0, op_counter: SynOpCounter (AC), MACCounter (MAC)",
        "a product with a factor of only 0 and 1 in a call counts the weights that its ones reach, "
        "zero weights too (AC); any other is dense (MAC), and so is affine batch-norm",
        dense=None,
    )
    for layer in layers_with_products(counts):
        if layer.made_by and layer.made_by not in _SPIKINGJELLY_RULES:
            tally.note(f"not seen, {layer.made_by} being an operator without a rule", layer.name)
            continue
        if layer.weight_kind == "binary":
            tally.note("counted otherwise if its weights are 0 and 1 alone", layer.name)
        for call in tally.calls(layer, is_zero_or_one, counts):
            spikes = [operand for operand in call.operands if is_zero_or_one(operand)]
            if not spikes:
                tally.add(mac=call.dense)
                continue
            both = len(spikes) == 2
            reached = call.effective if both else reached_by(spikes[0], call, layer)
            if reached is None:
                tally.ac = None
                tally.note("how many zero weights its spikes reach is not known", layer.name)
            else:
                tally.add(ac=reached)
    tally.add(mac=_batch_norm_elements(counts))
    if any(layer.folded for layer in counts.layers) and not counts.modules:
        tally.note("batch-norm is taken as affine")
    tally.note("its ACCounter adds the additions of normalisation, pooling and element-wise work")
    return tally


def _keras_spiking(counts: ModelCounts) -> _Tally:
    tally = _Tally(
        "keras-spiking",
        "the formula of keras-spiking 0.3.0, ModelEnergy; the tool itself needs TensorFlow",
        "connections of Dense and Conv layers times the mean of abs(x) at every step, a spike of "
        "height 1 being one event; one update per neuron and step",
        ac=None,
        mac=None,
    )
    synaptic_operations, is_known = 0.0, True
    if counts.has_neurons:
        neurons = sum(row.neurons for row in counts.layers)
        tally.neuron_updates = float(counts.time_steps * neurons)
    else:
        tally.note("no neurons were recognised, so their updates are not known")
    for layer in layers_with_products(counts):
        if not is_layer_of(LINEAR_AND_CONV, layer, counts):
            tally.note("not seen, being no Dense or Conv layer", layer.name)
            continue
        evaluations = max(len(layer.steps), 1)
        tally.add(dense=layer.ops.dense / evaluations)
        events = magnitude_of(layer.operands[0])
        if events is None:
            is_known = False
            tally.note("the mean of its input is not known", layer.name)
            continue
        rate = share(events, layer.operands[0].elements)
        synaptic_operations += layer.ops.dense * layer.reused_steps * rate
        if layer.operands[0].kind == "real":
            tally.note("real values taken as numbers of events", layer.name)
    beside = sorted({"relu", "relu_", "avg_pool2d"} & set(counts.not_priced))
    if beside:
        tally.note("neurons or connections to it, and left out here", *beside)
    tally.total = synaptic_operations if is_known else None
    return tally


def _add_by_rate(tally: _Tally, products: float, rate: float | None) -> None:
    """Dense products, that are accumulates at a rate, or MACs without one."""
    if rate is None:
        tally.add(mac=products, dense=products)
    else:
        tally.add(ac=products * rate, dense=products)


def _batch_norm_elements(counts: ModelCounts) -> float:
    """Elements that pass an affine batch-norm, folded here or not."""
    plain = {module.name for module in counts.modules if not module.has_weight}
    folded = [(name, layer.outputs) for layer in counts.layers for name in layer.folded]
    seen = float(counts.not_priced.get("native_batch_norm", {}).get("elements", 0))
    names = {name for name, _ in folded}
    unweighted = sum(
        module.elements_in
        for module in counts.modules
        if module.name in plain - names and module.classes[0] in BATCH_NORM
    )
    return seen - unweighted + sum(outputs for name, outputs in folded if name not in plain)


def _off_percent(value: float | None, exact: float) -> float | None:
    return None if value is None or exact == 0 else 100 * (value - exact) / exact
