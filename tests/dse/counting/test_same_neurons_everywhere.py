"""One network, written for several libraries, has the same neurons with the same events."""

import importlib
import math
import warnings
from types import ModuleType

import pytest
import torch
from recorder import record
from torch import nn

from dse.counting.count import count
from dse.neurons.events import neuron_events
from dse.neurons.spiking import IntegrateFire
from dse.neurons.surrogates import Arctan

T, B = 4, 3
THRESHOLD = 1 + 2**-9  # the weights are on a coarser grid, so that > and >= agree
CASES = [(leak, reset) for leak in (1.0, 0.5) for reset in ("soft", "hard")]


def library(name: str) -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip(name)
        return importlib.import_module(name)


def layers(kind: str, scale: float = 1.0) -> list[nn.Module]:
    """Two layers with weights on a grid of 2^-6, the same for every library.

    The seeds are chosen so that no potential meets the threshold, or twice the threshold, where
    libraries differ in how often they reset.
    """
    seed, highest = (110, 28) if kind == "linear" else (258, 17)
    generator = torch.Generator().manual_seed(seed)
    if kind == "linear":
        made = [nn.Linear(6, 8), nn.Linear(8, 5)]
    else:
        made = [nn.Conv2d(2, 3, 3), nn.Sequential(nn.Flatten(), nn.Linear(3 * 9, 5))]
    for parameter in (p for layer in made for p in layer.parameters()):
        grid = torch.randint(-8, highest, parameter.shape, generator=generator) / 64
        parameter.data = grid * scale
    return made


def batch(kind: str) -> torch.Tensor:
    shape = (6,) if kind == "linear" else (2, 5, 5)
    generator = torch.Generator().manual_seed(3)
    return torch.randint(0, 5, (T, B, *shape), generator=generator) / 4


class StepByStep(nn.Module):
    """Layers and neurons are called once a step; neurons keep their own state."""

    def __init__(self, made, neurons):
        super().__init__()
        self.first, self.second = made
        self.one, self.two = neurons

    def forward(self, x):
        steps = [self.two(self.second(self.one(self.first(x[t])))) for t in range(T)]
        return torch.stack(steps)


class WithState(StepByStep):
    """The state of neurons is passed through the model."""

    def forward(self, x):
        one, two, steps = self.start(self.one), self.start(self.two), []
        for t in range(T):
            spikes, one = self.one(self.first(x[t]), one)
            spikes, two = self.two(self.second(spikes), two)
            steps.append(spikes)
        return torch.stack(steps)

    def start(self, neuron):
        return neuron.init_leaky() if hasattr(neuron, "init_leaky") else None


class Folded(StepByStep):
    """Layers see time in the batch; neurons loop over it."""

    def forward(self, x):
        x = self.one(self.first(x.flatten(0, 1)).unflatten(0, (T, B)))
        return self.two(self.second(x.flatten(0, 1)).unflatten(0, (T, B)))


class BatchFirst(StepByStep):
    """As folded, with time behind the batch."""

    def forward(self, x):
        x = x.transpose(0, 1).flatten(0, 1)
        x = self.one(self.first(x).unflatten(0, (B, T)))
        x = self.two(self.second(x.flatten(0, 1)).unflatten(0, (B, T)))
        return x.transpose(0, 1)


class Local(nn.Module):
    """Plain torch: two layers of neurons in one loop of one module."""

    def __init__(self, made, leak, reset):
        super().__init__()
        self.first, self.second = made
        self.leak, self.reset = leak, reset

    def forward(self, x):
        u = w = 0.0
        steps = []
        for t in range(T):
            u = self.leak * u + self.first(x[t])
            s = (u > THRESHOLD).float()
            u = u - THRESHOLD * s if self.reset == "soft" else u * (1 - s)
            w = self.leak * w + self.second(s)
            s = torch.where(w >= THRESHOLD, 1.0, 0.0)
            w = (
                torch.sub(w, s, alpha=THRESHOLD)
                if self.reset == "soft"
                else w.masked_fill(s > 0, 0)
            )
            steps.append(s)
        return torch.stack(steps)


class Stateful(nn.Module):
    """Plain torch: one step of neurons that keep their potential, written in place."""

    def __init__(self, leak, reset):
        super().__init__()
        self.leak, self.reset, self.v = leak, reset, None

    def forward(self, current):
        if self.v is None:
            self.v = torch.zeros_like(current)
        self.v.mul_(self.leak).add_(current)
        spikes = torch.heaviside(self.v - THRESHOLD, torch.tensor(1.0))
        if self.reset == "soft":
            self.v -= THRESHOLD * spikes
        else:
            self.v[spikes.bool()] = 0
        return spikes


class Buffered(nn.Module):
    """Plain torch: neurons over all steps, results written into buffers through views."""

    def __init__(self, leak, reset):
        super().__init__()
        self.leak, self.reset = leak, reset

    def forward(self, currents):
        spikes = torch.empty_like(currents)
        v = torch.zeros_like(currents[0])
        for t, current in enumerate(currents.unbind(0)):
            v = v + (current - v * (1 - self.leak))
            spikes[t] = v.ge(THRESHOLD)
            v = torch.where(spikes[t].bool(), v - THRESHOLD if self.reset == "soft" else 0.0, v)
        return spikes


def plain(kind, leak, reset):
    def two(make):
        return [make(leak, reset), make(leak, reset)]

    def own(leak, reset):
        return IntegrateFire(THRESHOLD, leak, reset, Arctan())

    yield "local", Local(layers(kind), leak, reset)
    yield "stateful", StepByStep(layers(kind), two(Stateful))
    yield "buffered", Folded(layers(kind), two(Buffered))
    yield "own", Folded(layers(kind), two(own))


def spikingjelly(kind, leak, reset):
    neuron = library("spikingjelly.activation_based.neuron")
    options = {"v_threshold": THRESHOLD, "v_reset": None if reset == "soft" else 0.0}

    def two(mode):
        if leak == 1:
            return [neuron.IFNode(step_mode=mode, **options) for _ in range(2)]
        lif = {"tau": 1 / (1 - leak), "decay_input": False, **options}
        return [neuron.LIFNode(step_mode=mode, **lif) for _ in range(2)]

    yield "spikingjelly s", StepByStep(layers(kind), two("s"))
    yield "spikingjelly m", Folded(layers(kind), two("m"))
    if leak != 1:  # what comes in decays, too: twice the weights
        lif = {"tau": 1 / (1 - leak), "step_mode": "m", **options}
        decaying = [neuron.LIFNode(**lif) for _ in range(2)]
        yield "spikingjelly decay", Folded(layers(kind, scale=2.0), decaying)


def snntorch(kind, leak, reset):
    module = library("snntorch")
    options = {
        "beta": leak,
        "threshold": THRESHOLD,
        "reset_mechanism": "subtract" if reset == "soft" else "zero",
        "reset_delay": False,
    }
    two = [module.Leaky(**options), module.Leaky(**options)]
    yield "snntorch", WithState(layers(kind), two)
    hidden = [module.Leaky(init_hidden=True, **options) for _ in range(2)]
    yield "snntorch hidden", StepByStep(layers(kind), hidden)


def norse(kind, leak, reset):
    module = library("norse.torch")
    if reset == "soft":
        pytest.skip("norse resets to a fixed potential")
    if leak == 1:
        options = module.IAFParameters(v_th=torch.tensor(THRESHOLD))
        two = [module.IAFCell(options), module.IAFCell(options)]
        yield "norse", WithState(layers(kind), two)
        return
    options = module.LIFBoxParameters(
        tau_mem_inv=torch.tensor(1024 * leak), v_th=torch.tensor(THRESHOLD)
    )
    two = [module.LIFBoxCell(options, dt=1 / 1024) for _ in range(2)]
    yield "norse", WithState(layers(kind, scale=1 / (1 - leak)), two)


def sinabs(kind, leak, reset):
    library("sinabs")
    activation = importlib.import_module("sinabs.activation")
    module = importlib.import_module("sinabs.layers")
    options = {
        "spike_threshold": torch.tensor(THRESHOLD),
        "spike_fn": activation.SingleSpike,
        "reset_fn": activation.MembraneSubtract()
        if reset == "soft"
        else activation.MembraneReset(),
    }
    if leak == 1:
        two = [module.IAF(**options), module.IAF(**options)]
    else:
        tau = torch.tensor(-1 / math.log(leak))
        two = [module.LIF(tau_mem=tau, norm_input=False, **options) for _ in range(2)]
    yield "sinabs", BatchFirst(layers(kind), two)


def observed(model, x, context=torch.no_grad):
    with warnings.catch_warnings(), context():
        warnings.simplefilter("ignore")
        tape, output = record(model, x)
    return tape.neurons(), output.detach().clone(), tape.doubts


def summary(found):
    return [(n.neurons, n.spikes, dict(n.events), len(n.fed_by)) for n in found]


@pytest.mark.parametrize("kind", ["linear", "conv"])
@pytest.mark.parametrize(("leak", "reset"), CASES)
@pytest.mark.parametrize("library", [plain, spikingjelly, snntorch, norse, sinabs])
def test_the_same_neurons_in_every_library(library, leak, reset, kind):
    x = batch(kind)
    witness = Folded(layers(kind), [Buffered(leak, reset), Buffered(leak, reset)])
    with torch.no_grad():
        train = witness(x)
    expected = events_by_hand(witness, x)
    assert all(sum(spikes[:-1]) > 1 and spikes[-1] for _, spikes, _, _ in expected)
    variants = list(library(kind, leak, reset))
    assert variants
    for name, model in variants:
        found, spikes, doubts = observed(model, x)
        assert torch.equal(spikes, train), name
        assert summary(found) == expected, name
        assert not doubts, name
        fed_by = [row for one in found for row in one.fed_by]
        assert fed_by == ["first", "second" if kind == "linear" else "second.1"], name


@pytest.mark.parametrize("kind", ["linear", "conv"])
@pytest.mark.parametrize(("leak", "reset"), CASES)
@pytest.mark.parametrize("library", [plain, spikingjelly, snntorch, norse, sinabs])
def test_the_same_counts_in_every_library(library, leak, reset, kind):
    x = batch(kind)
    witness = Folded(layers(kind), [Buffered(leak, reset), Buffered(leak, reset)])
    expected = counted(witness, x)
    by_hand = events_by_hand(witness, x)
    assert [events for _, _, events in expected["neurons"]] == [
        events for _, _, events, _ in by_hand
    ]
    for name, model in library(kind, leak, reset):
        assert counted(model, x) == expected, name


def counted(model, x):
    """All that has to be equal: products of both layers, and both rows of neurons."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        counts = count(model, x, batch_dim=1)
    assert (counts.samples, counts.time_steps, counts.coverage) == (B, T, 1.0)
    layers = [layer for layer in counts.layers if layer.operator != "neuron"]
    neurons = [layer for layer in counts.layers if layer.operator == "neuron"]
    return {
        "products": [layer.ops.to_dict() for layer in layers],
        "neurons": [
            (
                layer.neurons,
                [round(step.spikes_out * B) for step in layer.steps],
                {name: round(number * B) for name, number in layer.updates.to_dict().items()},
            )
            for layer in neurons
        ],
        "spikes": counts.spikes,
    }


def events_by_hand(model, x):
    """What the neurons of a model do, from their spike trains alone."""
    expected = []
    with torch.no_grad():
        for neurons, layer in ((model.one, model.first), (model.two, model.second)):
            x = neurons(layer(x.flatten(0, 1)).unflatten(0, (T, B)))
            spikes = tuple(int(step.sum()) for step in x)
            events = neuron_events(
                x[0].numel(),
                time_steps=T,
                spikes_before_last=sum(spikes[:-1]),
                has_leak=neurons.leak != 1,
            )
            expected.append((events.pop("neurons"), spikes, events, 1))
    return expected
