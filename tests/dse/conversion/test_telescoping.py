"""Nothing is lost in a converted network: what comes in has gone out, or is still there.

phi = W phi_before + b - (v(T) - v(0)) / T of every neuron, for any T: Bu et al., ICLR 2022, eq. 6.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from spiking_loops import integrate_fire
from torch import Tensor, nn

from dse.conversion.convert import Converted, convert
from dse.conversion.methods import METHODS
from dse.conversion.network import Neurons, by_channel_of


class Residual(nn.Module):
    """Two blocks, the second with a synapse on its way around, then two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.stem_norm = nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.one, self.one_norm = nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.two, self.two_norm = nn.Conv2d(4, 6, 3, stride=2, padding=1), nn.BatchNorm2d(6)
        self.around = nn.Conv2d(4, 6, 1, stride=2, bias=False)
        self.hidden, self.readout = nn.Linear(24, 7), nn.Linear(7, 3)
        self.pool = nn.AvgPool2d(2)

    def forward(self, images: Tensor) -> Tensor:
        stem = self.stem_norm(self.stem(images)).relu()
        one = (self.one_norm(self.one(stem)) + stem).relu()
        two = (self.two_norm(self.two(one)) + self.around(one)).relu()
        return self.readout(self.hidden(self.pool(two).flatten(1)).relu())


def _source() -> tuple[nn.Module, Tensor]:
    torch.manual_seed(1)
    model = Residual().double()
    images = torch.rand(16, 2, 8, 8, dtype=torch.float64)
    model.train()(images)
    return model.eval(), images


RECIPES = {
    "zero": METHODS["normalise-percentile"],
    "half, thresholds by channel": replace(METHODS["opi"], threshold="percentile-by-channel"),
    "drive": METHODS["threshold-shift"],
    "training set": METHODS["icsnn-2"],
}
CODED = ("direct", "rate", "rate-compensated", "rate-compensated-late")


class _Seen:
    """Currents, spikes and neurons of each layer of one run."""

    def __init__(self, converted: Converted, images: Tensor) -> None:
        network = converted.network
        self.layers: list[tuple[Neurons, Tensor, Tensor]] = []

        def see(step, currents, spikes) -> None:
            module = network.nodes[step.module]
            if isinstance(module, Neurons):
                self.layers.append((module, currents, spikes))

        with torch.no_grad():
            self.logits = network.run(images, see)


@pytest.mark.parametrize("time_steps", [1, 3, 8])
@pytest.mark.parametrize("coding", CODED)
@pytest.mark.parametrize("recipe", RECIPES)
def test_what_comes_into_a_neuron_goes_out_or_is_left(recipe, coding, time_steps):
    model, images = _source()
    converted = convert(model, images, replace(RECIPES[recipe], coding=coding), time_steps)
    few = images[:4]
    seen = _Seen(converted, few)
    assert len(seen.layers) == 4
    rates, currents = [], []
    for neurons, driving, spikes in seen.layers:
        height = by_channel_of(neurons.threshold_values, driving.dim() - 2)
        start, drive = neurons.initial, neurons.drive
        wanted, left = integrate_fire(driving, height, start, drive)
        assert np.array_equal(spikes.numpy(), wanted)
        rates.append(spikes.mean(0) * height)
        currents.append(driving.mean(0))
        kept = (torch.from_numpy(left) - start) / time_steps
        torch.testing.assert_close(rates[-1], currents[-1] + drive - kept, rtol=0, atol=1e-12)

    # what comes in is what the layers of the source, norms and all, make of what went out before
    coded = few
    if coding == "rate":
        coded = torch.from_numpy(integrate_fire(few.expand(time_steps, *few.shape))[0].mean(0))
    with torch.no_grad():
        wanted_currents = [
            model.stem_norm(model.stem(coded)),
            model.one_norm(model.one(rates[0])) + rates[0],
            model.two_norm(model.two(rates[1])) + model.around(rates[1]),
            model.hidden(F.avg_pool2d(rates[2], 2).flatten(1)),
            model.readout(rates[3]),
        ]
        found = [*currents, converted.network(few)]
    for one, other in zip(found, wanted_currents, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


@pytest.mark.parametrize("time_steps", [1, 2, 5, 8])
@pytest.mark.parametrize("coding", ["rate-compensated", "rate-compensated-late"])
def test_what_the_coding_loses_is_given_back_once(coding, time_steps):
    # sum over t of W s(t), and T W e, are T W x: the first layer has its currents at one step
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, 3)).double()
    images = torch.rand(5, 3, 2, 2, dtype=torch.float64)
    seen = _Seen(convert(model, images, replace(METHODS["opi"], coding=coding), time_steps), images)
    currents = seen.layers[0][1].numpy()
    weight, bias = model[1].weight.detach().numpy(), model[1].bias.detach().numpy()
    pixels = images.flatten(1).numpy()
    np.testing.assert_allclose(
        currents.sum(0), time_steps * (pixels @ weight.T + bias), atol=1e-12, rtol=0
    )
    spikes, left = integrate_fire(np.broadcast_to(pixels, (time_steps, *pixels.shape)))
    np.testing.assert_allclose(time_steps * pixels - spikes.sum(0), left, atol=1e-12)
    place = 0 if coding == "rate-compensated" else time_steps - 1
    for t in range(time_steps):
        plain = spikes[t] @ weight.T + bias
        if t == place:
            plain = plain + left @ weight.T
        np.testing.assert_allclose(currents[t], plain, atol=1e-12, rtol=0)


def test_values_that_spikes_tell_exactly_need_no_compensation():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)).eval()
    ones = torch.ones(6, 1, 2, 2)  # a spike at each step: nothing is lost
    with torch.no_grad():
        model[1].bias.fill_(1.0)  # somebody is active
        rate, compensated, direct = (
            convert(model, ones, replace(METHODS["opi"], coding=coding), 4).network(ones)
            for coding in ("rate", "rate-compensated", "direct")
        )
    assert torch.equal(rate, compensated)
    torch.testing.assert_close(rate, direct)
