"""Calibration brings the outputs of a layer nearer to those of the ANN's, and never away."""

import pytest
import torch
from torch import Tensor, nn

from dse.conversion import calibration
from dse.conversion.calibration import Flow
from dse.conversion.convert import adjusted, convert
from dse.conversion.converted import Converted
from dse.conversion.flow import Currents, Pick, at_once, in_parts
from dse.conversion.methods import METHODS
from dse.conversion.network import Neurons, Step, by_channel_of
from dse.conversion.potentials import Start, mean_output
from dse.errors import ConversionFailure
from dse.networks.source import SourceNetwork


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_bias_calibration_lowers_the_mean_error_of_layers(
    steps: int, source: SourceNetwork, images: Tensor
) -> None:
    layers = convert(source, images, METHODS["light-calibration"], steps).layers
    assert layers
    for layer in layers:
        assert layer.error_before is not None
        assert layer.error_after is not None
        assert layer.error_after < layer.error_before


def test_a_channel_whose_error_would_grow_keeps_its_drive() -> None:
    # T = 1, threshold 1: the second neuron is right already, the first one lacks 0.5 on average
    currents = torch.tensor([[[0.6, 1.0], [1.2, 0.0]]])
    wanted = torch.tensor([[1.0, 1.0], [1.0, 0.0]])
    neurons = Neurons(torch.tensor(1.0), torch.zeros(()))
    found = calibration.bias(neurons, at_once(currents), wanted, Start(neurons.initial))
    assert neurons.drive.tolist() == [0.5, 0.0]
    assert (found.error_before, found.error_after, found.kept_share) == (0.25, 0.0, 0.5)


def test_a_drive_is_one_number_for_a_channel(source: SourceNetwork, images: Tensor) -> None:
    network = convert(source, images, METHODS["light-calibration"], 2).network
    shapes = [one.drive.shape for one in network.nodes.values() if isinstance(one, Neurons)]
    assert shapes
    assert all(shape[1:].numel() == 1 for shape in shapes)


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_phase_two_never_raises_the_error_of_a_layer(
    steps: int, source: SourceNetwork, images: Tensor
) -> None:
    method = adjusted(METHODS["dual-phase"], noisy_epochs=0)
    layers = convert(source, images, method, steps).layers
    assert layers
    for layer in layers:
        assert layer.error_before is not None
        assert layer.error_after is not None
        assert layer.error_after <= layer.error_before


class _Residual(nn.Module):
    """Sums of currents, of currents and spikes, and a batch-norm that reads a sum."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.body = nn.Conv2d(4, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.last = nn.Linear(64, 5)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 1, 8, 8) -> (B, 5)."""
        currents = self.first(images)
        spikes = currents.relu()
        total = self.body(spikes) + spikes + currents
        after = self.second(self.norm(total).relu()) + total
        return self.last(nn.functional.avg_pool2d(after.relu(), 2).flatten(1))


@pytest.mark.parametrize("coding", ["direct", "rate-compensated", "poisson"])
@pytest.mark.parametrize("name", ["light-calibration", "dual-phase"])
def test_the_network_has_the_errors_that_were_reported(name: str, coding: str) -> None:
    torch.manual_seed(0)
    found = _with_reported_errors(_Residual(), name, coding)
    if name == "dual-phase":
        # the first currents flow on, and what they come from is not changed
        assert any("its currents flow elsewhere, too" in note for note in found.notes)


class _Pooled(nn.Module):
    """Currents that a pool, neurons and a sum read."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.body = nn.Conv2d(4, 4, 3, padding=1)
        self.coarse = nn.Linear(64, 5)
        self.fine = nn.Linear(256, 5)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 1, 8, 8) -> (B, 5)."""
        currents = self.first(images)
        coarse = nn.functional.avg_pool2d(currents, 2).relu()
        fine = (self.body(currents.relu()) + currents).relu()
        return self.coarse(coarse.flatten(1)) + self.fine(fine.flatten(1))


def test_weights_are_not_fitted_where_their_currents_are_read_before_a_pool_too() -> None:
    torch.manual_seed(0)
    found = _with_reported_errors(_Pooled(), "dual-phase", "direct")
    assert any("its currents flow elsewhere, too" in note for note in found.notes)


def _with_reported_errors(model: nn.Module, name: str, coding: str) -> Converted:
    """A conversion whose layers have the errors in the network that it says they have."""
    images = torch.rand(48, 1, 8, 8)
    model.train()(images)
    method = adjusted(METHODS[name], coding=coding, noisy_epochs=0)
    found = convert(model.eval(), images, method, 3)
    wanted: dict[str, Tensor] = {}
    with torch.no_grad():
        found.graph.run(images, lambda node, _before, after: wanted.update({node.name: after}))
    outputs: dict[str, Tensor] = {}
    tops: dict[str, Tensor] = {}

    def see(step: Step, _currents: Tensor, spikes: Tensor) -> None:
        if step.kind == "activation":
            neurons = found.network.nodes[str(step.module)]
            assert isinstance(neurons, Neurons)
            tops[step.name] = by_channel_of(neurons.threshold_values, spikes.dim() - 2)
            outputs[step.name] = spikes.mean(0) * tops[step.name]

    with torch.no_grad():
        found.network.run(images, see)
    assert len(found.layers) == 3
    for layer in found.layers:
        target = wanted[layer.name]
        if name == "dual-phase":
            target = target.clamp(max=tops[layer.name])
        error = float((target.mean(0) - outputs[layer.name].mean(0)).abs().mean())
        assert error == pytest.approx(layer.error_after, rel=1e-4, abs=1e-6)
        assert layer.error_before is not None
        assert error <= layer.error_before + 1e-6
    return found


def _layer() -> tuple[nn.Linear, Neurons, Flow, Tensor]:
    torch.manual_seed(0)
    inputs = (torch.rand(2, 512, 10) < 0.4).float()
    synapse = nn.Linear(10, 6)
    wanted = (inputs.mean(0) @ torch.randn(6, 10).T).relu().clamp(max=1.0)

    def get(samples: Pick) -> Tensor:
        return synapse(inputs[:, samples])

    neurons = Neurons(torch.tensor(1.0), torch.tensor(0.5))
    currents = Currents(get, in_parts(512, 512), 2)
    return synapse, neurons, Flow(currents, (synapse,)), wanted


def test_a_fit_lowers_the_squared_error() -> None:
    _, neurons, flow, wanted = _layer()
    first, last = calibration.fit("layer", neurons, flow, wanted)
    with torch.no_grad():
        outputs = neurons(next(iter(flow.currents))).mean(0)
    assert last < first
    assert float((outputs - wanted).square().mean()) == pytest.approx(last)


def test_a_fit_that_helps_nothing_is_undone() -> None:
    synapse, neurons, flow, _ = _layer()
    with torch.no_grad():
        wanted = neurons(next(iter(flow.currents))).mean(0)
    weight = synapse.weight.detach().clone()
    assert calibration.fit("layer", neurons, flow, wanted) == (0.0, 0.0)
    assert torch.equal(synapse.weight, weight)


def test_dual_phase_leaves_what_it_reports() -> None:
    _, neurons, flow, wanted = _layer()
    with torch.no_grad():
        currents, found = calibration.dual_phase(
            "layer", neurons, flow, wanted, Start(neurons.initial)
        )
        missed = wanted.mean(0) - mean_output(neurons.initial, neurons, currents)
        assert torch.equal(next(iter(currents)), next(iter(flow.currents)))
    assert float(missed.abs().mean()) == pytest.approx(found.error_after)


def test_an_error_that_is_not_finite_is_refused() -> None:
    _, neurons, flow, wanted = _layer()
    with pytest.raises(ConversionFailure, match="layer: calibration: error is nan: must be finite"):
        calibration.fit("layer", neurons, flow, wanted * torch.nan)
