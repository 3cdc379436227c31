"""Equal dynamics: logits and gradients of each contestant beside the plain loop, before timing."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.counting.tables import Table
from benchmarks.training.contestants import NotAvailable, built, refusals
from benchmarks.training.plain import Loop
from benchmarks.training.steps import Contestant, cast
from benchmarks.training.works import Work, batch, layers_of, load_parameters

MEANING = (
    "The same parameters and images for all, on a grid on which fp32 sums are exact, so equal "
    "dynamics give equal logits to the last bit. Logits in evaluation mode; gradients of all "
    "parameters together, without batch-norm: largest difference over largest value. With "
    "batch-norm a loop over time (plain loop, snnTorch, Norse with Lift) normalises each step by "
    "itself and the others all steps together, so in training they differ by design."
)
_OTHER_SURROGATE = "SuperSpike: has no arctangent"


def dynamics_table(work: Work, time_steps: int, contestants: list[Contestant]) -> Table:
    """How far each spiking contestant is from the plain loop."""
    table = Table(f"{work.name}, T = {time_steps}", ("", "logits", "gradient"))
    rates: list[float] = []
    for contestant in contestants:
        if not contestant.is_spiking:
            continue
        try:
            model = built(contestant, work)
            with refusals(is_ours=contestant.is_dse):
                logits, gradient, rates = _differences(model, contestant, work, time_steps)
        except NotAvailable as reason:
            table.add_sentence(contestant.name, str(reason))
            continue
        table.add(contestant.name, logits, gradient)
    shown = ", ".join(f"{rate:.0%}" for rate in rates)
    table.title += f"; spikes a neuron and step: {shown}" if rates else ""
    return table


def _differences(
    model: nn.Module, contestant: Contestant, work: Work, time_steps: int
) -> tuple[str, str, list[float]]:
    reference = _reference(model, work, time_steps)
    images, labels = batch(work)
    if contestant.habits.channels_last:
        images = images.contiguous(memory_format=torch.channels_last)
    outputs = []
    for net in (model, reference):
        net.eval()
        with torch.no_grad():
            outputs.append(_logits(net, images, contestant))
    rates = reference.rates
    if work.norm == "batch":
        gradient = ""
    elif not contestant.has_same_surrogate:
        gradient = _OTHER_SURROGATE
    else:
        ours, theirs = (_gradient(net, images, labels, contestant) for net in (model, reference))
        gradient = _difference(ours, theirs)
    return _difference(*outputs), gradient, rates


def _reference(model: nn.Module, work: Work, time_steps: int) -> Loop:
    """The plain loop, without the biases that a model lacks."""
    reference = Loop(work, time_steps)
    reference.is_watched = True
    load_parameters(reference, work)
    for mine, theirs in zip(layers_of(reference), layers_of(model), strict=True):
        bias, other = (getattr(layer, "bias", None) for layer in (mine, theirs))
        if bias is not None and other is None:
            nn.init.zeros_(bias)
            bias.requires_grad_(False)
    return reference


def _logits(net: nn.Module, images: Tensor, contestant: Contestant) -> Tensor:
    with cast(contestant.habits):
        logits: Tensor = net(images)
    return logits.float()


def _gradient(net: nn.Module, images: Tensor, labels: Tensor, contestant: Contestant) -> Tensor:
    """Of weights and biases, layer by layer, whatever order the library registers them in."""
    net.train()
    net.zero_grad()
    F.cross_entropy(_logits(net, images, contestant), labels).backward()
    parameters = [p for layer in layers_of(net) for p in layer.parameters() if p.requires_grad]
    return torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])


def _difference(value: Tensor, reference: Tensor) -> str:
    difference = float((value - reference).abs().max() / reference.abs().max())
    return "equal" if difference == 0 else f"{difference:.1e}"
