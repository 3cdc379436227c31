"""What the counter says of a converted network is what loops over its spikes say, at every T."""

from collections import Counter
from dataclasses import replace

import brute_force
import pytest
import torch
from definitions import levels
from torch import Tensor, nn

from dse import count
from dse.conversion.convert import convert
from dse.conversion.methods import METHODS
from dse.conversion.network import Compensation, ConvertedNetwork, MaxOfRates, Neurons
from energy_models import estimate, load_profile
from energy_models.baselines import ann_of

SAMPLES = 2
CLASSES = ("mac", "ac", "graded", "graded_accumulates", "binary")


class Block(nn.Module):
    """An identity on the way around, then a strided synapse on it."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 2, 3, padding=1)
        self.one = nn.Conv2d(2, 2, 3, padding=1, bias=False)
        self.two = nn.Conv2d(2, 3, 3, stride=2, padding=1)
        self.around = nn.Conv2d(2, 3, 1, stride=2)
        self.readout = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        x = (self.one(x) + x).relu()
        x = (self.two(x) + self.around(x)).relu()
        return self.readout(x.mean((2, 3)))


def _chain(pool: nn.Module | None) -> nn.Module:
    pools = [] if pool is None else [pool]
    first = [nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), *pools]
    second = [nn.Conv2d(2, 2, 2, groups=2), nn.ReLU(), nn.Flatten()]
    return nn.Sequential(*first, *second, nn.LazyLinear(4), nn.ReLU(), nn.Linear(4, 2))


NETWORKS = {
    "chain": lambda: _chain(None),
    "average": lambda: _chain(nn.AvgPool2d(2)),
    "max": lambda: _chain(nn.MaxPool2d(2)),
    "residual": Block,
}
RECIPES = {
    "opi": METHODS["opi"],
    "rate, compensated": replace(METHODS["icsnn"], threshold="percentile"),
    "thresholds by channel": replace(METHODS["opi"], threshold="percentile-by-channel"),
    "drive, hard reset": replace(METHODS["threshold-shift"], reset="hard"),
}


def _network(name: str, recipe: str, time_steps: int) -> tuple[ConvertedNetwork, Tensor]:
    torch.manual_seed(3)
    model = NETWORKS[name]()
    images = torch.rand(24, 1, 4, 4)
    model(images)
    with torch.no_grad():
        for module in model.modules():
            if getattr(module, "bias", None) is not None:
                module.bias.abs_().add_(0.3)  # no layer is dead
    return convert(model.eval(), images, RECIPES[recipe], time_steps).network, images[:SAMPLES]


def _arrivals(network: ConvertedNetwork, images: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """Input and output of each module, by its path."""
    found: dict[str, tuple[Tensor, Tensor]] = {}
    handles = [
        module.register_forward_hook(
            lambda _, inputs, output, name=name: found.update({name: (inputs[0], output)})
        )
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear | Compensation | Neurons | MaxOfRates)
    ]
    with torch.no_grad():
        network.run(images)
    for handle in handles:
        handle.remove()
    return found


def _pairs(module: nn.Module, mask: Tensor, outputs: Tensor) -> int:
    if isinstance(module, nn.Linear):
        return brute_force.matrix(mask, module.weight.T)
    sizes = module.stride, module.padding, module.dilation
    return brute_force.convolution(
        mask, module.weight, tuple(outputs.shape[2:]), *sizes, module.groups, False
    )


def _products(module: nn.Module, inputs: Tensor, outputs: Tensor) -> Counter[str]:
    """By the words of the design, over the batch."""
    known = levels([inputs])
    if known is None:
        return Counter(mac=_pairs(module, inputs != 0, outputs))
    total: Counter[str] = Counter()
    for value, k in known.items():
        pairs = _pairs(module, inputs.abs() == value, outputs)
        total.update({"ac" if k == 1 else "graded": pairs})
        if k > 1:
            total["graded_accumulates"] += k * pairs
    return total


def _dense(module: nn.Module, outputs: Tensor) -> int:
    """Every output takes every weight of its channel."""
    return outputs.numel() * module.weight[0].numel()


def _updates(module: nn.Module, inputs: Tensor, outputs: Tensor) -> dict[str, int]:
    """Events of single neurons, added up one after another."""
    steps, total = len(inputs), Counter()
    has_drive = isinstance(module, Neurons) and bool((module.drive != 0).any())
    has_start = isinstance(module, Neurons) and bool((module.initial != 0).any())
    for _ in range(inputs[0].numel()):
        for t in range(steps):
            total["compare"] += 1
            if t > 0:  # a potential that is kept is read, and the current added
                total.update(state_read=1, integrate=1)
            elif has_start:
                total["integrate"] += 1
            total["integrate"] += has_drive
            if t < steps - 1:
                total["state_write"] += 1
    for train in outputs[:-1].flatten(1).T.tolist():
        total["reset"] += sum(map(int, train))  # of a spike after which somebody looks again
    return total


@pytest.mark.parametrize("time_steps", range(1, 9))
@pytest.mark.parametrize(
    ("name", "recipe"),
    [(name, "opi") for name in NETWORKS]
    + [("chain", recipe) for recipe in list(RECIPES)[1:]]
    + [("residual", "thresholds by channel"), ("average", "rate, compensated")],
)
def test_counts_are_those_of_loops(name, recipe, time_steps):
    network, images = _network(name, recipe, time_steps)
    arrivals = _arrivals(network, images)
    counts = count(network, images)
    assert counts.uncounted == {}
    assert counts.time_steps == time_steps
    # what a module computes with borrowed weights is a row below it
    rows = {layer.name.partition("/")[0]: layer for layer in counts.layers}
    assert len(rows) == len(counts.layers)
    modules = dict(network.named_modules())
    seen = set()
    for path, (inputs, outputs) in arrivals.items():
        module = modules[path]
        if isinstance(module, Compensation):
            (module,) = module._synapse
        if isinstance(module, nn.Conv2d | nn.Linear):
            wanted = _products(module, inputs, outputs)
            found = {key: round(getattr(rows[path].ops, key) * SAMPLES) for key in CLASSES}
            assert found == {key: wanted[key] for key in CLASSES}, path
            assert round(rows[path].ops.dense * SAMPLES) == _dense(module, outputs)
            is_once = len(inputs) == SAMPLES and "compensation" not in path
            assert rows[path].reused_steps == (time_steps if is_once else 1)
        elif isinstance(module, Neurons | MaxOfRates):
            wanted = _updates(module, inputs, outputs)
            updates = rows[path].updates
            found = {key: round(getattr(updates, key) * SAMPLES) for key in wanted}
            assert found == dict(wanted), path
            assert updates.leak == 0
        else:
            continue
        seen.add(path)
    assert seen == set(rows)


def test_the_first_layer_is_counted_once_however_many_steps():
    totals = []
    for time_steps in (1, 8):
        network, images = _network("chain", "opi", time_steps)
        totals.append(next(iter(count(network, images).layers)).ops.mac)
    assert totals[0] == totals[1] > 0


def test_a_spike_on_the_way_around_is_an_accumulate():
    network, images = _network("residual", "opi", 4)
    arrivals = _arrivals(network, images)
    (way,) = [path for path in arrivals if "way" in path]
    row = next(layer for layer in count(network, images).layers if layer.name == way)
    assert round(row.ops.ac * SAMPLES) == int(arrivals[way][0].sum()) > 0
    assert row.ops.binary == 0


def test_counting_sees_the_spikes_of_a_plain_pass():
    network, images = _network("residual", "thresholds by channel", 5)
    with torch.no_grad():
        spikes = [one.clone() for _, one in _arrivals(network, images).values()]
        count(network, images)
        again = [one for _, one in _arrivals(network, images).values()]
    assert all(map(torch.equal, spikes, again))


@pytest.mark.parametrize("samples", [31, 32, 33, 64, 100])
def test_a_large_batch_counts_as_small_ones(samples):
    """Parts in which a network runs are no time steps, also where they are as many."""
    network, _ = _network("chain", "opi", 8)
    images = torch.rand(samples, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    whole = count(network, images)
    parts = count(network, list(torch.split(images, 5)), progress=False)
    assert len(images) > network.samples_at_once or samples < 33
    assert whole.time_steps == parts.time_steps == 8
    assert not [one for one in whole.assumptions if "steps" in one and "entries" in one]
    for one, other in zip(whole.layers, parts.layers, strict=True):
        assert (one.name, one.ops, one.reused_steps) == (other.name, other.ops, other.reused_steps)
    priced = [estimate(one, load_profile("cmos45-sram-fp32")).total_pj for one in (whole, parts)]
    assert priced[0] == pytest.approx(priced[1], rel=1e-9)
    assert ann_of(whole).ops.dense_mac == ann_of(parts).ops.dense_mac
