"""Neurons by data flow: what is none, and what is said where it cannot be told."""

import pytest
import torch
import torch.nn.functional as F
from small_nets import Fn, Neuron, batches, linear, net, observed
from torch import nn

from dse.neurons.binary import BinaryLinear


@pytest.fixture
def steps():
    return batches()


@pytest.fixture
def rows():
    return batches()[0]


def relu_integrator(self, x):
    v = 0.0
    for step in x:
        v = 0.9 * v + self.a(step)
        v = torch.where(v > 0, v, torch.zeros_like(v))
    return self.b(v)


def attention(self, x):
    q = self.a(x)
    scores = (q @ q.T).masked_fill(x.sum(1) > 2.5, -1e9)
    return F.softmax(scores, -1) @ q


def gate(self, x):
    h = self.a(x)
    return self.b(h * (h > 0).float())


def leaky(self, x):
    h = self.a(x)
    return self.b(torch.where(h > 0, h, 0.1 * h))


def accuracy(self, x):
    return (self.a(x).argmax(1) == torch.zeros(3, dtype=torch.long)).float().mean()


NO_NEURONS = {
    "mlp": nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2)),
    "gate": Fn(gate, a=nn.Linear(6, 8), b=nn.Linear(8, 2)),
    "leaky": Fn(leaky, a=nn.Linear(6, 8), b=nn.Linear(8, 2)),
    "bounds": Fn(
        lambda m, x: m.b(F.hardtanh(m.a(x)).clamp(0, 0.5)), a=nn.Linear(6, 8), b=nn.Linear(8, 2)
    ),
    "accuracy": Fn(accuracy, a=nn.Linear(6, 8)),
    "dropout": Fn(
        lambda m, x: m.b(F.dropout(m.a(x), 0.5, True)), a=nn.Linear(6, 8), b=nn.Linear(8, 2)
    ),
    "masked attention": Fn(attention, a=nn.Linear(6, 8)),
    "curves": nn.Sequential(
        nn.Linear(6, 8), nn.Hardswish(), nn.PReLU(), nn.LayerNorm(8), nn.GELU(), nn.Linear(8, 2)
    ),
    "levels": Fn(
        lambda m, x: m.b(torch.round(m.a(x) * 8) / 8), a=nn.Linear(6, 8), b=nn.Linear(8, 2)
    ),
    "binary weights": BinaryLinear(6, 4),
}


@pytest.mark.parametrize("name", NO_NEURONS)
def test_other_networks_have_no_neurons(name, rows):
    assert observed(NO_NEURONS[name].train(), rows) == ([], [])


@pytest.mark.parametrize("context", [torch.enable_grad, torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("kind", ["residual", "transformer", "lstm", "integrator"])
def test_deeper_networks_have_no_neurons(kind, context, steps):
    torch.manual_seed(0)
    x = steps
    if kind == "residual":
        norm = nn.BatchNorm2d(3)
        x = torch.rand(2, 3, 8, 8)
        model = Fn(
            lambda m, x: m.pool(F.relu(x + m.norm(m.conv(x)))).flatten(1),
            conv=nn.Conv2d(3, 3, 3, padding=1),
            norm=norm,
            pool=nn.MaxPool2d(2),
        )
    elif kind == "transformer":
        model = nn.TransformerEncoderLayer(6, 2, 8, batch_first=True)
    elif kind == "lstm":
        model = Fn(lambda m, x: m.cells(x)[0], cells=nn.LSTM(6, 5))
    else:
        model = Fn(relu_integrator, a=nn.Linear(6, 8), b=nn.Linear(8, 2))
    assert observed(model.eval(), x, context) == ([], [])


class Adaptive(Neuron):
    def __init__(self):
        super().__init__()
        self.b = self.s = 0.0

    def forward(self, x):
        self.v = 0.5 * self.v + x - self.s * (1 + self.b)
        self.b = 0.9 * self.b + 0.1 * self.s
        self.s = (self.v - (1 + self.b) >= 0).float()
        return self.s


class Refractory(Neuron):
    def __init__(self):
        super().__init__()
        self.rest = None

    def forward(self, x):
        rest = torch.zeros_like(x) if self.rest is None else self.rest
        self.v = 0.5 * self.v + x
        s = (self.v >= 1).float() * (rest <= 0).float()
        self.v = self.v * (1 - s)
        self.rest = (rest - 1).clamp(min=0) + 2 * s
        return s


class MultiSpike(Neuron):
    def forward(self, x):
        self.v = self.v + x
        s = (self.v > 0) * torch.div(self.v, 0.5, rounding_mode="trunc")
        self.v = self.v - 0.5 * s
        return s


@pytest.mark.parametrize(
    ("neuron", "text"),
    [
        (Adaptive, "adaptive threshold"),
        (Refractory, "refractory time"),
        (MultiSpike, "rounded to levels"),
    ],
)
def test_what_is_not_counted_is_named(neuron, text, steps):
    found, [doubt] = observed(net(neuron()), steps)
    assert found == []
    assert doubt.startswith("neuron: ")
    assert text in doubt
    assert "not counted" in doubt


class WithCurrent(Neuron):
    def __init__(self):
        super().__init__()
        self.i = 0.0

    def forward(self, x):
        self.i = 0.8 * self.i + x
        return super().forward(self.i)


class Ternary(Neuron):
    def forward(self, x):
        self.v = self.v + x
        s = (self.v > 1).float() - (self.v < -1).float()
        self.v = self.v - s
        return s


@pytest.mark.parametrize(
    ("neuron", "text"), [(WithCurrent, "second state"), (Ternary, "several thresholds")]
)
def test_what_is_counted_in_part_is_named(neuron, text, steps):
    [found], [doubt] = observed(net(neuron()), steps)
    assert found.events["state_read"] == 3 * 24
    assert text in doubt


def test_encoders_readouts_and_clipped_states_are_named(rows, steps):
    def readout(self, x):
        v = 0.0
        for step in x:
            v = 0.9 * v + self.b(self.neuron(self.a(step)))
        return v

    def clipped(self, x):
        v = 0.0
        for step in x:
            v = 0.9 * v + self.a(step)
            v = torch.where(v > 1, torch.ones_like(v), v)
        return self.b(v)

    layers = {"a": linear(6, 8), "b": nn.Linear(8, 2)}
    encoder = Fn(lambda m, x: m.a((torch.rand_like(x) < x).float()), **layers)
    found, [doubt] = observed(encoder, rows)
    assert found == []
    assert "random numbers" in doubt
    found, [doubt] = observed(Fn(clipped, **layers), steps)
    assert found == []
    assert "spikes go nowhere" in doubt
    [found], [doubt] = observed(Fn(readout, neuron=Neuron(), **layers), steps)
    assert found.name == "neuron"
    assert "readout" in doubt
    mean = Fn(lambda m, x: (m.a(x) > 0.5).float().mean(), **layers)
    found, [doubt] = observed(mean, rows)
    assert found == []
    assert "only summed up" in doubt
