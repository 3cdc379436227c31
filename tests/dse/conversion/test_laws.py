"""The laws of converted neurons: what T steps give for constant, uneven and real currents.

Numbers with a pencil, or from the loops of `spiking_loops`; the laws are those of Bu et al., AAAI
2022 and ICLR 2022, of Deng and Gu, ICLR 2021, and of Han, Srinivasan and Roy, CVPR 2020.
"""

import math

import numpy as np
import pytest
import torch
from spiking_loops import integrate_fire
from torch import Tensor

from dse.conversion.network import MaxOfRates, Neurons


def _neurons(threshold: float = 1.0, initial: float = 0.0, **options) -> Neurons:
    return Neurons(_number(threshold), _number(initial), **options)


def _number(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)


def _counts(neurons: Neurons, constant: Tensor, time_steps: int) -> Tensor:
    """Spikes in T steps of neurons that each get a constant current (N,)."""
    currents = constant.expand(time_steps, 1, len(constant))
    return neurons(currents).sum((0, 1))


def _uniform(count: int = 20_000) -> Tensor:
    """Evenly spaced between 0 and 1, on no multiple of 1 / T."""
    return (torch.arange(count, dtype=torch.float64) + 0.5) / count


@pytest.mark.parametrize(
    ("arrivals", "spikes", "left"),
    [
        # weight 1.5, threshold 1: 1.5 fires, 0.5 stays; 2.0 fires, 1.0 stays; 2.5 fires
        ((1, 0, 1, 1), (1, 0, 1, 1), 1.5),
        # the same mean over fewer steps: 1.5 and 2.0 fire, and time is over
        ((0, 0, 1, 1), (0, 0, 1, 1), 1.0),
    ],
)
def test_uneven_spikes_are_not_their_mean(arrivals, spikes, left):
    currents = 1.5 * torch.tensor(arrivals, dtype=torch.float64).reshape(4, 1, 1)
    assert _neurons()(currents).flatten().tolist() == list(spikes)
    assert integrate_fire(currents)[1].item() == left


@pytest.mark.parametrize("time_steps", [8, 32])
@pytest.mark.parametrize(("initial", "bias"), [(0.0, -0.5), (0.5, 0.0), (1.0 - 1e-9, 0.5)])
def test_the_potential_at_the_start_moves_the_mean_error(time_steps, initial, bias):
    values = _uniform()
    errors = _counts(_neurons(initial=initial), values, time_steps) / time_steps - values
    # each of T + 1 staircases is off by a uniform value of width 1 / T around bias / T
    assert float(errors.mean()) == pytest.approx(bias / time_steps, abs=1e-4)
    spread = math.sqrt(1 / 12 + bias**2) / time_steps
    assert float(errors.square().mean().sqrt()) == pytest.approx(spread, rel=1e-3)


def test_a_soft_reset_keeps_the_rate_that_a_hard_one_loses():
    drive = torch.tensor([0.6], dtype=torch.float64)
    soft, hard = (float(_counts(_neurons(reset=one), drive, 1000)) for one in ("soft", "hard"))
    assert abs(soft - 600) <= 1
    assert hard == 500  # 0.6, 1.2: every second step


def test_the_mean_error_of_a_hard_reset_does_not_vanish_with_more_steps():
    values = _uniform()
    for time_steps in (8, 32, 128):
        soft, hard = (
            float((_counts(_neurons(reset=reset), values, time_steps) / time_steps - values).mean())
            for reset in ("soft", "hard")
        )
        assert soft == pytest.approx(-1 / (2 * time_steps), abs=1e-4)
        # between 1/k and 1/(k-1) every k-th step fires; at T = 8 that is 2.625 / 8 - 1/2 = -0.172
        rates = [time_steps // k / time_steps for k in range(2, time_steps + 1)]
        shares = [1 / (k - 1) - 1 / k for k in range(2, time_steps + 1)]
        wanted = sum(r * s for r, s in zip(rates, shares, strict=True)) - 1 / 2
        assert hard == pytest.approx(wanted, abs=1e-4)
        assert hard < 3 / 2 - math.pi**2 / 6 < -0.14  # of any number of steps


@pytest.mark.parametrize("time_steps", [1, 2, 4, 8, 16])
def test_a_shift_at_each_step_is_half_a_threshold_at_the_start(time_steps):
    torch.manual_seed(time_steps)
    threshold = 0.7
    values = torch.rand(2000, dtype=torch.float64)  # 0 to more than the threshold
    shift = _number(threshold / (2 * time_steps))
    shifted = _neurons(threshold, drive=shift)
    halved = _neurons(threshold, threshold / 2)
    assert torch.equal(_counts(shifted, values, time_steps), _counts(halved, values, time_steps))
    # but for T = 1, before T they differ
    early = [_counts(one, values, max(1, time_steps // 2)) for one in (shifted, halved)]
    assert torch.equal(*early) == (time_steps == 1)


@pytest.mark.parametrize("reset", ["soft", "hard"])
@pytest.mark.parametrize("shape", [(3, 4, 4), (5,)])
@pytest.mark.parametrize("thresholds", ["one", "by channel"])
@pytest.mark.parametrize("start", ["one", "by channel", "by neuron"])
@pytest.mark.parametrize("time_steps", [1, 2, 7, 70])  # 70: more than the kernel takes
def test_spikes_are_those_of_a_loop(reset, shape, thresholds, start, time_steps):
    torch.manual_seed(0)
    channel = (shape[0], *(1 for _ in shape[1:]))
    sizes = {"one": (), "by channel": channel, "by neuron": shape}
    threshold = 0.5 + torch.rand(() if thresholds == "one" else shape[0], dtype=torch.float64)
    initial = torch.rand(sizes[start], dtype=torch.float64) - 0.25
    drive = 0.1 * torch.rand((), dtype=torch.float64)
    neurons = Neurons(threshold, initial, drive, reset=reset)
    currents = torch.randn(time_steps, 2, *shape, dtype=torch.float64)
    height = threshold if thresholds == "one" else threshold.reshape(channel)
    constant = currents[:1].expand(currents.shape)
    for given in (currents, constant):
        before = given.clone()
        wanted, _ = integrate_fire(given, height, initial, drive, is_hard=reset == "hard")
        assert np.array_equal(neurons(given).numpy(), wanted)
        assert torch.equal(given, before)
        assert np.array_equal(neurons(given.clone(), is_scratch=True).numpy(), wanted)
    one_step = constant.clone()[:1].expand(currents.shape)
    assert torch.equal(neurons(one_step, is_scratch=True), neurons(constant))


@pytest.mark.parametrize("kernel_size", [2, (2, 1)])
def test_a_max_of_rates_is_the_largest_rate_at_every_step(kernel_size):
    torch.manual_seed(0)
    spikes = (torch.rand(12, 3, 2, 6, 4) < torch.rand(3, 2, 6, 4)).float()
    out = MaxOfRates(torch.nn.MaxPool2d(kernel_size))(spikes)
    assert set(out.unique().tolist()) <= {0.0, 1.0}
    high, wide = (2, 2) if kernel_size == 2 else kernel_size
    counts = spikes.numpy().cumsum(0)
    for t in range(len(spikes)):
        for y in range(6 // high):
            for x in range(4 // wide):
                window = counts[t, ..., y * high : (y + 1) * high, x * wide : (x + 1) * wide]
                largest = window.max((-2, -1))
                assert np.array_equal(out[: t + 1, ..., y, x].sum(0).numpy(), largest)
