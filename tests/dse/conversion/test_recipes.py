"""Whole networks by each method against loops that know no more than the equations of its paper."""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
import torch
from spiking_loops import integrate_fire
from torch import Tensor, nn

from dse.conversion import rate_norm
from dse.conversion.convert import SPIKE_NORM_IMAGES, SPIKE_NORM_STEPS, adjusted, convert
from dse.conversion.graph import trace
from dse.conversion.methods import METHODS
from dse.conversion.network import Neurons
from dse.networks.encoding import Encoding


@dataclass(frozen=True)
class Recipe:
    """As published; what is not said is a soft reset from rest, on the values themselves."""

    rule: str
    is_hard: bool = False
    start: float = 0.0  # thresholds
    shift: float = 0.0  # thresholds, spread over all steps
    is_drawn: bool = False
    scale: float = 1.0  # of thresholds alone: a spike still counts for an unscaled one


RECIPES = {
    "normalise-max": Recipe("max", is_hard=True, is_drawn=True),
    "normalise-percentile": Recipe("percentile"),
    "spike-norm": Recipe("current", is_hard=True, is_drawn=True),
    "soft-reset": Recipe("current", is_drawn=True),
    "threshold-shift": Recipe("max", shift=0.5),
    "opi": Recipe("max", start=0.5),
    "hybrid": Recipe("current", is_drawn=True, scale=0.7),
}


class _Loops:
    """Layers of a network as matrices; neurons between them."""

    def __init__(self, model: nn.Module) -> None:
        layers = [one for one in model if isinstance(one, nn.Linear)]
        self.layers = [(one.weight.detach().numpy(), one.bias.detach().numpy()) for one in layers]

    def currents(self, place, values):
        weight, bias = self.layers[place]
        return values @ weight.T + bias

    def activations(self, pixels):
        """Currents and activations of the ANN in the hidden layers."""
        found = []
        for place in range(len(self.layers) - 1):
            currents = self.currents(place, pixels)
            pixels = np.maximum(currents, 0)
            found.append((currents, pixels))
        return found

    def spikes(self, values, thresholds, recipe):
        """Spikes of the first layers, one for each threshold, and the currents behind them."""
        found, steps = [], len(values)
        for place, level in enumerate(thresholds):
            spikes, _ = integrate_fire(
                self.currents(place, values),
                recipe.scale * level,
                recipe.scale * level * recipe.start,
                recipe.scale * level * recipe.shift / steps,
                is_hard=recipe.is_hard,
            )
            found.append(spikes)
            values = level * spikes
        return found, self.currents(len(thresholds), values)


def _network() -> tuple[nn.Module, Tensor]:
    torch.manual_seed(2)
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(9, 12), nn.ReLU(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 3)
    )
    with torch.no_grad():
        for one in model.parameters():
            one.mul_(2.0)  # activations whose thresholds are far from 1
    return model.double().eval(), torch.rand(100, 1, 3, 3, dtype=torch.float64)


def _coded(images: Tensor, steps: int, recipe: Recipe):
    coding = Encoding("poisson" if recipe.is_drawn else "direct").eval()
    values, count = coding(images, steps)
    pixels = values.reshape(count, len(images), -1).numpy()
    return np.broadcast_to(pixels, (steps, *pixels.shape[1:]))


def _thresholds(loops: _Loops, images: Tensor, recipe: Recipe) -> list[float]:
    if recipe.rule == "current":
        plain = Recipe("current", is_hard=recipe.is_hard)
        values = _coded(images[:SPIKE_NORM_IMAGES], SPIKE_NORM_STEPS, recipe)
        found: list[float] = []
        for _ in range(2):  # each layer is driven by the spikes of those that have theirs
            found.append(float(loops.spikes(values, found, plain)[1].max()))
        return found
    each = [np.sort(a.ravel()) for _, a in loops.activations(images.flatten(1).numpy())]
    share = 1.0 if recipe.rule == "max" else 0.999
    return [float(one[math.ceil(share * one.size) - 1]) for one in each]


@pytest.mark.parametrize("time_steps", [1, 5])
@pytest.mark.parametrize("name", RECIPES)
def test_spikes_and_logits_are_those_of_the_equations(name, time_steps):
    model, images = _network()
    recipe, loops = RECIPES[name], _Loops(model)
    found = convert(model, images, adjusted(METHODS[name], tuning="none"), time_steps)
    levels = _thresholds(loops, images, recipe)
    for layer, level in zip(found.layers, levels, strict=True):
        assert layer.threshold_low == pytest.approx(recipe.scale * level, rel=1e-12)
    few, seen = images[:20], []
    with torch.no_grad():
        logits = found.network.run(few, lambda _step, _currents, out: seen.append(out.numpy()))
    spikes, outputs = loops.spikes(_coded(few, time_steps, recipe), levels, recipe)
    assert all(np.array_equal(one, other) for one, other in zip(seen, spikes, strict=True))
    assert any(one.any() for one in spikes) or time_steps == 1
    np.testing.assert_allclose(logits.numpy(), outputs, rtol=0, atol=1e-10)


@pytest.mark.parametrize("time_steps", [1, 3])
def test_light_calibration_by_its_equations(time_steps):
    """Thresholds of a staircase that floors, shifts, then what the mean output misses."""
    model, images = _network()
    loops, pixels = _Loops(model), images.flatten(1).numpy()
    found = convert(model, images, METHODS["light-calibration"], time_steps)
    neurons = [one for one in found.network.nodes.values() if isinstance(one, Neurons)]
    values = np.broadcast_to(pixels, (time_steps, *pixels.shape))
    for place, (_, wanted) in enumerate(loops.activations(pixels)):
        largest, errors = wanted.max(0), []
        shares = np.arange(1, 101) / 100
        for share in shares:
            size = np.maximum(share * largest, 1e-300) / time_steps
            stairs = size * np.clip(np.floor(wanted / size), 0, time_steps)
            errors.append(((wanted - stairs) ** 2).mean(0))
        level = shares[np.argmin(errors, axis=0)] * largest
        level = np.where(level > 0, level, level.max())
        np.testing.assert_allclose(neurons[place].threshold_values.numpy(), level, rtol=1e-12)
        currents, shift = loops.currents(place, values), level / (2 * time_steps)

        def missed(drive, level=level, currents=currents, wanted=wanted):
            spikes, _ = integrate_fire(currents, level, 0.0, drive)
            return wanted.mean(0) - level * spikes.mean((0, 1))

        moved = shift + missed(shift)
        drive = np.where(abs(missed(moved)) < abs(missed(shift)), moved, shift)
        np.testing.assert_allclose(neurons[place].drive.numpy(), drive, atol=1e-12)
        values = level * integrate_fire(currents, level, 0.0, drive)[0]


def test_rate_norm_by_its_equations():
    """Stage 2: 1 - cos + 0.1 mean(sum r / sum r^2), by shares sigmoid(w) of the maximum alone."""
    model, images = _network()
    inputs, layers = images.flatten(1), [one for one in model if isinstance(one, nn.Linear)]
    with torch.no_grad():
        wanted = model(images)
        first = layers[0](inputs).relu()
        largest = [first.max(), layers[1](first).relu().max()]
    shares = [torch.tensor(4.0, dtype=torch.float64, requires_grad=True) for _ in largest]
    optimizer = torch.optim.Adam(shares, 0.05)

    def rated(values):
        slowness = []
        for layer, share, top in zip(layers, shares, largest, strict=False):
            level = share.sigmoid() * top
            rate = (layer(values).relu() / level).clamp(max=1)
            slowness.append(rate.sum() / (rate.square().sum() + 1e-5))
            values = rate * level
        return layers[-1](values), sum(slowness) / len(slowness)

    batches, kept = list(pairwise((0, 64, 100))), [4.0, 4.0]
    for step in range(200):
        start, end = batches[step % 2]
        logits, slowness = rated(inputs[start:end])
        loss = 1 - torch.cosine_similarity(logits, wanted[start:end]).mean() + 0.1 * slowness
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 2:
            same = (rated(inputs)[0].argmax(1) == wanted.argmax(1)).double().mean()
            if same < 0.97:
                break
            kept = [share.item() for share in shares]
    found = rate_norm.thresholds(trace(model), images)
    expected = [
        top.item() / (1 + math.exp(-share)) for top, share in zip(largest, kept, strict=True)
    ]
    assert [one.item() for one in found.values()] == pytest.approx(expected)
    assert kept != [4.0, 4.0]


@pytest.mark.parametrize("drive", [0.0, 0.25])
def test_the_mean_residual_is_what_all_neurons_keep_on_average(drive):
    model, images = _network()
    method = adjusted(METHODS["threshold-shift"], initial="mean-residual", shifts=drive > 0)
    found = convert(model, images, method, 2)
    pixels = np.broadcast_to(images.flatten(1).numpy(), (2, 100, 9))
    first = next(one for one in found.network.nodes.values() if isinstance(one, Neurons))
    level = float(first.threshold_values)
    left = integrate_fire(_Loops(model).currents(0, pixels), level, 0.0, drive * level)[1]
    assert float(first.initial) == pytest.approx(left.mean())
