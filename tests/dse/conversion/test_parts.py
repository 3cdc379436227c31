"""Images that do not flow together go through in parts, and the network is the same."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, max_pool2d

from dse.conversion import walk
from dse.conversion.convert import SPIKE_NORM_STEPS, adjusted, convert
from dse.conversion.converted import Converted
from dse.conversion.flow import at_once, in_parts, kept_spikes
from dse.conversion.methods import METHODS, Method
from dse.conversion.network import Neurons

STEPS, IMAGES, LARGEST = 4, 20, 4 * 6 * 6
FEW = 7 * LARGEST  # values of 7 images at a step


class _Net(nn.Module):
    """Sums of currents and spikes, pools of both, currents that two read; layers of three sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.body = nn.Conv2d(4, 4, 3, padding=1)
        self.hidden = nn.Linear(36, 8)
        self.last = nn.Linear(8, 5)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 1, 6, 6) -> (B, 5)."""
        currents = self.first(images)
        rates = max_pool2d(currents.relu(), 2)
        total = self.body(rates) + rates + avg_pool2d(currents, 2)
        return self.last(self.hidden(total.relu().flatten(1)).relu())


def _images() -> tuple[nn.Module, Tensor]:
    """In float64, where the order of a sum moves no spike."""
    torch.manual_seed(1)
    model = _Net().double().eval()
    return model, torch.rand(IMAGES, 1, 6, 6, dtype=torch.float64)


def _methods() -> dict[str, Method]:
    """All to which more than one image flows."""
    found = {
        name: adjusted(method, tuning="none", noisy_epochs=0)
        for name, method in METHODS.items()
        if walk.calibrates(method) or method.threshold == "spike-norm"
    }
    first = found["icsnn-2"]
    for initial in ("mean-residual", "training-set-by-channel", "training-set-unguarded"):
        found[initial] = replace(first, initial=initial)
    for coding in ("poisson", "rate", "rate-compensated-late"):
        found[f"icsnn-2 {coding}"] = replace(first, coding=coding)
    found["hard"] = replace(first, reset="hard")
    found["by channel"] = replace(first, threshold="percentile-by-channel")
    found["dual-phase rate"] = replace(found["dual-phase"], coding="rate-compensated")
    return found


def _steps(method: Method) -> int:
    """Of the longest run that the method does."""
    return SPIKE_NORM_STEPS if method.threshold == "spike-norm" else STEPS


def _assert_same(one: Converted, other: Converted, tolerance: float) -> None:
    assert one.samples == other.samples == IMAGES
    assert one.notes == other.notes
    for mine, theirs in zip(one.layers, other.layers, strict=True):
        assert mine.error_before == pytest.approx(theirs.error_before, abs=tolerance)
        assert mine.error_after == pytest.approx(theirs.error_after, abs=tolerance)
        assert mine.kept_share == theirs.kept_share
    states = one.network.state_dict(), other.network.state_dict()
    assert states[0].keys() == states[1].keys()
    for name, value in states[0].items():
        torch.testing.assert_close(value, states[1][name], rtol=0, atol=tolerance, msg=name)


@pytest.mark.parametrize("name", _methods())
def test_parts_give_the_network_that_all_images_at_once_give(name, monkeypatch):
    model, images = _images()
    method = _methods()[name]
    whole = convert(model, images, method, STEPS)
    monkeypatch.setattr(walk, "MOST_VALUES", FEW * _steps(method))
    parts = convert(model, images, method, STEPS)
    _assert_same(parts, whole, 1e-9)
    with torch.no_grad():
        torch.testing.assert_close(parts.network(images), whole.network(images))


def test_parts_give_nearly_the_same_in_single_precision(monkeypatch):
    model, images = _images()
    model, images = model.float(), images.float()
    whole = convert(model, images, METHODS["icsnn-2"], STEPS)
    monkeypatch.setattr(walk, "MOST_VALUES", FEW * STEPS)
    parts = convert(model, images, METHODS["icsnn-2"], STEPS)
    _assert_same(parts, whole, 1e-5)


@pytest.mark.parametrize("name", ["icsnn", "spike-norm", "light-calibration", "dual-phase"])
def test_no_layer_gets_more_currents_at_once_than_fit(name, monkeypatch):
    sizes: list[tuple[int, int]] = []
    forward = Neurons.forward

    def measured(self: Neurons, currents: Tensor, **flags: bool) -> Tensor:
        if self.threshold_values.dtype == torch.float64:  # those of the coding see images
            sizes.append((currents.shape[1], currents.numel()))
        return forward(self, currents, **flags)

    (model, images), method = _images(), _methods()[name]
    most = FEW * _steps(method)
    monkeypatch.setattr(walk, "MOST_VALUES", most)
    monkeypatch.setattr(Neurons, "forward", measured)
    convert(model, images, method, STEPS)
    assert max(values for _, values in sizes) == most
    assert {samples for samples, _ in sizes} == ({7, 6} if name != "spike-norm" else {7, 6, 1})


def test_currents_are_kept_where_they_fit_and_else_computed_again(monkeypatch):
    counts = {1: 0, 36: 0}  # by inputs: of the first synapses and of those of the hidden layer

    def counted(kind: type[nn.Module], steps: int) -> None:
        forward = kind.forward

        def called(self: nn.Module, inputs: Tensor) -> Tensor:
            if inputs.shape[1] in counts and len(inputs) in (7 * steps, 6 * steps):
                counts[inputs.shape[1]] += 1
            return forward(self, inputs)

        monkeypatch.setattr(kind, "forward", called)

    model, images = _images()
    monkeypatch.setattr(walk, "MOST_VALUES", FEW * STEPS)
    counted(nn.Conv2d, 1)  # images, which are the same at each step
    counted(nn.Linear, STEPS)
    convert(model, images, METHODS["icsnn-2"], STEPS)
    assert counts[36] == 3
    assert counts[1] > 3 * 3  # potentials before and after, spikes, and what else reads them


def test_a_layer_too_large_for_two_images_takes_one_at_a_time(monkeypatch):
    model, images = _images()
    whole = convert(model, images, METHODS["icsnn-2"], STEPS)
    monkeypatch.setattr(walk, "MOST_VALUES", 1)
    _assert_same(convert(model, images, METHODS["icsnn-2"], STEPS), whole, 1e-9)


@pytest.mark.parametrize("most", [1, 3, 4, 10])
def test_spikes_of_parts_are_those_of_all_samples(most):
    torch.manual_seed(0)
    spikes = (torch.rand(3, 10, 2, 2) < 0.4).double()
    parts = in_parts(10, most)
    get = kept_spikes((spikes[:, part] for part in parts), parts)
    picked = torch.tensor([7, 0, 3])
    for samples in (slice(0, 10), slice(2, 5), picked):
        values, count = get(samples)
        assert count == 3
        assert values.dtype == torch.float64
        assert torch.equal(values, spikes[:, samples].flatten(0, 1))


def test_currents_that_are_there_are_one_part():
    currents = torch.rand(3, 10, 2)
    (one,) = at_once(currents)
    assert torch.equal(one, currents)
    assert at_once(currents).most == 10
