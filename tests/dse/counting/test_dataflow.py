"""Neurons by data flow: what is found, with which events."""

import pytest
import torch
import torch.nn.functional as F
from small_nets import Fn, Neuron, T, batches, linear, net, observed, over_time
from torch import nn

from dse.neurons.binary import BinaryLinear, Sign
from dse.neurons.spiking import IntegrateFire, SingleStep
from dse.neurons.surrogates import Arctan


@pytest.fixture
def steps():
    return batches()


@pytest.fixture
def rows():
    return batches()[0]


def test_one_neuron_by_hand():
    layer = nn.Linear(1, 1, bias=False)
    layer.weight.data = torch.ones(1, 1)
    model = Fn(over_time, layer=layer, neuron=Neuron(leak=0.5), head=nn.Linear(1, 1))
    # u = .75, .375 + .75 = 1.125 > 1, .0625 + .75 = .8125, .40625 + .75 = 1.15625 > 1
    [found], doubts = observed(model, torch.full((4, 1, 1), 0.75))
    assert found.name == "neuron"
    assert found.neurons == 1
    assert found.spikes == (0, 1, 0, 1)
    # 4 steps; 3 of them read what the one before wrote; the last spike resets nothing that is kept
    assert found.events == {
        "compare": 4,
        "state_read": 3,
        "leak": 3,
        "integrate": 3,
        "state_write": 3,
        "reset": 1,
    }
    assert found.fed_by == ("layer",)
    # v * leak at steps 1..3 and threshold * s at all; the first potential is added to zero
    assert found.operators == {"add": 4, "ge": 4, "mul": 3 + 4, "sub": 4}
    assert found.elements == found.operators
    assert doubts == []


@pytest.mark.parametrize("context", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_contexts_see_the_same(context, steps):
    [found], doubts = observed(net(Neuron()), steps, context)
    [expected], _ = observed(net(Neuron()), steps)
    assert found == expected
    assert doubts == []


def test_signs_compare_and_do_not_spike(rows):
    model = nn.Sequential(
        nn.Linear(6, 8), nn.BatchNorm1d(8), Sign(), BinaryLinear(8, 5), Sign(), nn.Linear(5, 2)
    )
    found, doubts = observed(model.eval(), rows)
    assert [(n.name, n.fed_by, n.neurons, n.is_signed) for n in found] == [
        ("2", ("0",), 3 * 8, True),
        ("4", ("3",), 3 * 5, True),
    ]
    assert all(n.events == {**dict.fromkeys(n.events, 0), "compare": n.neurons} for n in found)
    assert all(n.spikes == (0,) for n in found)
    assert found[0].operators == {"ge_": 1, "mul_": 1, "sub_": 1}
    assert doubts == []


def test_torch_sign_is_one_comparison(rows):
    [found], _ = observed(
        Fn(lambda m, x: m.b(torch.sign(m.a(x))), a=nn.Linear(6, 8), b=nn.Linear(8, 2)), rows
    )
    assert found.is_signed
    assert found.events["compare"] == 24


@pytest.mark.parametrize("calls", [1, T])
def test_single_step_neurons_only_compare(calls, steps):
    body = nn.Sequential(nn.Linear(6, 8), SingleStep(0.1, Arctan()), nn.Linear(8, 4))
    model = Fn(lambda m, x: sum(m.body(x[t]) for t in range(calls)), body=body)
    [found], doubts = observed(model, steps)
    assert found.name == "body.1"
    assert found.neurons == 24
    assert len(found.spikes) == calls
    assert found.events == {**dict.fromkeys(found.events, 0), "compare": calls * 24}
    assert doubts == []


def test_one_step_has_no_state(steps):
    [found], doubts = observed(net(Neuron()), steps[:1])
    assert found.events == {**dict.fromkeys(found.events, 0), "compare": 24}
    assert doubts == []


def test_residual_spikes_are_no_state_of_the_next_layer(steps):
    def forward(self, x):
        total = 0
        for step in x:
            one = self.one(self.a(step))
            two = self.two(self.b(one))
            total = total + self.c(self.three(one + two))
        return total

    torch.manual_seed(0)
    layers = {"a": linear(6, 8), "b": linear(8, 8), "c": nn.Linear(8, 2)}
    neurons = {name: Neuron() for name in ("one", "two", "three")}
    found, doubts = observed(Fn(forward, **layers, **neurons), steps)
    assert [(n.name, n.fed_by) for n in found] == [
        ("one", ("a",)),
        ("two", ("b",)),
        ("three", ("one", "two")),
    ]
    assert all(len(n.spikes) == T for n in found)
    assert doubts == []


def test_residual_currents_in_one_module_are_told_apart(steps):
    def forward(self, x):
        v = w = 0
        total = 0
        for step in x:
            current = self.a(step)
            v = 0.5 * v + current
            s = (v > 1).float()
            v = v - s
            w = w + current + self.b(s)
            z = (w > 1).float()
            w = w - z
            total = total + self.c(z)
        return total

    torch.manual_seed(0)
    model = Fn(forward, a=linear(6, 8), b=linear(8, 8), c=nn.Linear(8, 2))
    found, doubts = observed(model, steps)
    assert [(n.name, set(n.fed_by), n.events["leak"]) for n in found] == [
        ("/neuron#0", {"a"}, 3 * 24),
        ("/neuron#1", {"a", "b"}, 0),
    ]
    assert all(len(n.spikes) == T for n in found)
    assert doubts == []


def test_recurrent_spikes_come_in_by_their_product(steps):
    def forward(self, x):
        s = torch.zeros(3, 8)
        for step in x:
            s = self.neuron(self.a(step) + self.back(s))
        return self.c(s)

    torch.manual_seed(0)
    model = Fn(forward, a=linear(6, 8), back=linear(8, 8), c=nn.Linear(8, 2), neuron=Neuron())
    [found], doubts = observed(model, steps)
    assert found.fed_by == ("a", "back")
    assert found.events["state_read"] == 3 * 24
    assert doubts == []


class LearnedLeak(Neuron):
    def __init__(self):
        super().__init__(v=None)
        self.weight = nn.Parameter(torch.zeros(8))

    def forward(self, x):
        v = torch.zeros_like(x) if self.v is None else self.v
        v = v + (x - v) * self.weight.sigmoid()
        s = (v >= 0.5).float()
        self.v = (1 - s) * v
        return s


class Bounded(Neuron):
    """Written upside down: what is idle keeps its potential, which is never negative."""

    def forward(self, x):
        self.v = F.relu(self.v + x)
        idle = (self.v < 1).float()
        self.v = torch.where(idle > 0, self.v, torch.zeros_like(self.v))
        return 1 - idle


class StraightThrough(Neuron):
    def forward(self, x):
        self.v = self.v + x
        soft = torch.sigmoid(4 * (self.v - 1))
        s = ((self.v >= 1).float() - soft).detach() + soft
        self.v = self.v - s
        return s


class Delayed(Neuron):
    """The spike of a step resets the potential at the next one."""

    def forward(self, x):
        s = (self.v > 1).float() if isinstance(self.v, torch.Tensor) else 0.0
        self.v = self.v + x - s
        return (self.v > 1).float()


class WithGain(Neuron):
    """What comes in is halved, and the first potential is nothing else."""

    def forward(self, x):
        self.v = 0.5 * x if self.v is None else self.v + 0.5 * x
        s = (self.v > 0.5).float()
        self.v = self.v - 0.5 * s
        return s


class OfConstants(Neuron):
    """Numbers are tensors that are made anew at each step."""

    def forward(self, x):
        self.v = torch.tensor(1.0) * x + torch.tensor(0.25) * self.v
        s = torch.gt(self.v - torch.tensor(0.5), torch.tensor(0.0)).float()
        self.v = self.v - torch.tensor(0.5) * s
        return s


@pytest.mark.parametrize("neuron", [IntegrateFire(1.0, 1.0, "soft", Arctan()), Delayed()])
def test_a_current_that_is_computed_once_is_no_leak(neuron, rows):
    def forward(self, x):
        current = self.layer(x)
        if isinstance(self.neuron, IntegrateFire):
            return self.neuron(current.expand(T, *current.shape))
        return sum(self.neuron(current) for _ in range(T))

    [found], doubts = observed(Fn(forward, layer=linear(6, 8), neuron=neuron), rows)
    assert found.events["leak"] == 0
    assert found.events["integrate"] == 3 * 24
    assert found.fed_by == ("layer",)
    assert doubts == []


@pytest.mark.parametrize(
    ("neuron", "leaks"),
    [
        (LearnedLeak(), 1),
        (Bounded(), 0),
        (StraightThrough(), 0),
        (Delayed(), 0),
        (WithGain(v=None), 0),
        (OfConstants(), 1),
    ],
)
def test_other_ways_to_write_neurons(neuron, leaks, steps):
    outputs = []
    model = net(neuron)
    model.neuron.register_forward_hook(lambda module, args, out: outputs.append(out))
    [found], doubts = observed(model, steps)
    spikes = tuple(round(float(out.sum())) for out in outputs)
    assert sum(spikes[:-1]) > 0
    assert found.spikes == spikes
    assert found.events == {
        "compare": T * 24,
        "state_read": 3 * 24,
        "leak": leaks * 3 * 24,
        "integrate": 3 * 24,
        "state_write": 3 * 24,
        "reset": sum(spikes[:-1]),
    }
    assert doubts == []


@pytest.mark.parametrize(("start", "reads"), [(torch.zeros(3, 8), 3), (torch.ones(3, 8), 4)])
def test_a_potential_that_was_there_before_is_read(start, reads, steps):
    [found], doubts = observed(net(Neuron(v=start)), steps)
    assert found.events["state_read"] == found.events["leak"] == reads * 24
    assert found.events["state_write"] == 3 * 24
    assert len(doubts) == (reads == 4)
