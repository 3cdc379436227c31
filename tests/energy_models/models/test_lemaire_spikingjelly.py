"""The reading `spikingjelly` beside SpikingJelly's own report: the same pJ, and where not, why.

Their report is of a whole call: a batch is one inference to it, and so is what is folded into it.
"""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from dse import count
from energy_models import ModelCounts, estimate, load_profile

pytest.importorskip("spikingjelly")

from spikingjelly.activation_based import functional, layer, neuron
from spikingjelly.activation_based.op_counter.analytical_energy import estimate_lemaire_energy

T = 4
OURS = {
    "ops_pj": ("synaptic_compute", "neuron_updates", "bias"),
    "addressing_pj": ("addressing",),
    "inout_pj": ("activation_memory",),
    "params_pj": ("weight_memory",),
    "potential_pj": ("state_memory",),
}


class Spiking(nn.Module):
    """Two convolutions and two matrices; `m` takes all steps in one call, `s` one after another."""

    def __init__(self, node: type, bias: bool, step_mode: str) -> None:
        super().__init__()
        self.step_mode = step_mode
        mode = {"step_mode": step_mode}
        self.conv1 = layer.Conv2d(2, 3, 3, padding=1, bias=bias, **mode)
        self.neurons1 = node(v_threshold=0.15, **mode)
        self.conv2 = layer.Conv2d(3, 4, 3, stride=2, bias=bias, **mode)
        self.neurons2 = node(v_threshold=0.03, **mode)
        self.matrix = layer.Linear(36, 6, bias=bias, **mode)
        self.neurons3 = node(v_threshold=0.01, **mode)
        self.readout = layer.Linear(6, 5, bias=bias, **mode)

    def forward(self, x: Tensor) -> Tensor:
        if self.step_mode == "m":
            return self.step(x).mean(0)
        return torch.stack([self.step(frame) for frame in x]).mean(0)

    def step(self, x: Tensor) -> Tensor:
        maps = self.neurons2(self.conv2(self.neurons1(self.conv1(x))))
        return self.readout(self.neurons3(self.matrix(maps.flatten(-3))))


class Formal(nn.Module):
    def __init__(self, bias: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3, padding=1, bias=bias)
        self.matrix = nn.Linear(192, 5, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.matrix(torch.relu(self.conv(x)).flatten(1))


class Cached(nn.Module):
    """A direct-coded image, whose first layer is computed once for all steps."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3, padding=1)
        self.neurons = neuron.IFNode(v_threshold=0.3, step_mode="m")
        self.readout = layer.Linear(192, 5, step_mode="m")

    def forward(self, x: Tensor) -> Tensor:
        currents = self.conv(x).unsqueeze(0).repeat(T, 1, 1, 1, 1)
        return self.readout(self.neurons(currents).flatten(2)).mean(0)


class Layer(nn.Module):
    """One layer, and neurons after it."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.neurons = neuron.IFNode(v_threshold=0.2, step_mode="m")

    def forward(self, x: Tensor) -> Tensor:
        return self.neurons(self.inner(x))


@dataclass(frozen=True)
class Both:
    """pJ by the names of their report, and our counts."""

    theirs: dict[str, float]
    ours: dict[str, float]
    counts: ModelCounts

    def differences(self) -> dict[str, float]:
        """Theirs less ours, where they differ."""
        found = {name: self.theirs[name] - self.ours[name] for name in OURS}
        return {
            name: pj for name, pj in found.items() if abs(pj) > 1e-9 * max(self.theirs[name], 1)
        }


def both(model: nn.Module, x: Tensor, batch_dim: int = 1, options: str = "") -> Both:
    model.eval()
    functional.reset_net(model)
    report = estimate_lemaire_energy(model, (x,))
    functional.reset_net(model)
    counts = count(model, x, batch_dim=batch_dim)
    energy = estimate(counts, load_profile(f"lemaire-spikingjelly{options}"))
    rows = energy.rows()
    ours = {
        name: sum(row["energy_pj"] for row in rows if row["component"] in components)
        for name, components in OURS.items()
    }
    assert energy.complete, energy.missing
    assert sum(ours.values()) == pytest.approx(energy.total_pj)
    theirs = {name: report.breakdown_pj[name] for name in OURS}
    assert sum(theirs.values()) == pytest.approx(report.total_pj)
    return Both(theirs, ours, counts)


def events(steps: int, *shape: int) -> Tensor:
    return (torch.rand(steps, 1, *shape) < 0.5).float()


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("step_mode", ["m", "s"])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("node", [neuron.IFNode, neuron.LIFNode])
def test_a_spiking_network_costs_the_same(node: type, bias: bool, step_mode: str) -> None:
    found = both(Spiking(node, bias, step_mode), events(T, 2, 8, 8))
    assert found.differences() == {}
    assert found.counts.time_steps == T
    assert all(row.spikes_out for row in found.counts.layers if row.operator == "neuron")
    assert all(pj > 0 for pj in found.ours.values())


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda bias: layer.Linear(6, 5, bias=bias, step_mode="m"), (6,)),
        (lambda bias: layer.Conv1d(2, 3, 3, stride=2, bias=bias, step_mode="m"), (2, 9)),
        (lambda bias: layer.Conv2d(4, 6, 3, groups=2, bias=bias, step_mode="m"), (4, 8, 8)),
        (lambda bias: layer.Conv3d(1, 2, 2, padding=1, bias=bias, step_mode="m"), (1, 4, 4, 4)),
    ],
    ids=["matrix", "1d", "groups", "3d"],
)
def test_single_layers_cost_the_same(make, shape: tuple[int, ...], bias: bool) -> None:
    found = both(Layer(make(bias)), events(T, *shape))
    assert found.differences() == {}
    assert found.ours["potential_pj"] > 0


@pytest.mark.parametrize("bias", [False, True])
def test_a_formal_network_costs_the_same(bias: bool) -> None:
    found = both(Formal(bias), torch.randn(1, 2, 8, 8), batch_dim=0)
    assert found.differences() == {}
    assert found.ours["potential_pj"] == 0


def test_a_cached_first_layer_costs_the_same() -> None:
    found = both(Cached(), torch.rand(1, 2, 8, 8), batch_dim=0)
    assert found.differences() == {}
    assert found.counts.layers[0].reused_steps == T


def test_a_first_layer_at_every_step_in_single_steps_costs_the_same() -> None:
    images = torch.rand(1, 1, 2, 8, 8).repeat(T, 1, 1, 1, 1)
    assert both(Spiking(neuron.IFNode, True, "s"), images).differences() == {}


def test_a_first_layer_with_time_folded_in_differs_by_a_map_and_by_addresses() -> None:
    images = torch.rand(1, 1, 2, 8, 8).repeat(T, 1, 1, 1, 1)
    found = both(Spiking(neuron.IFNode, True, "m"), images)
    # a map of all steps lies in their memory, of one in ours: 4 x 512 B, 4 times the pJ;
    # 4 x 192 x 18 reads of 10 x (2048 - 512) / 8192 pJ more
    map_pj = T * 192 * 18 * 10 * (T - 1) * 512 / 8192
    # they address the kernel once a call, we once an evaluation: 3 x 9 additions of 0.1 pJ
    address_pj = -(T - 1) * 27 * 0.1
    assert found.differences() == pytest.approx({"inout_pj": map_pj, "addressing_pj": address_pj})


def test_every_step_is_an_option_of_ours_alone() -> None:
    found = both(Cached(), torch.rand(1, 2, 8, 8), 0, "+first_layer=every-step")
    evaluation_pj = {
        "ops_pj": 192 * 18 * 3.2 + 192 * 0.1,
        "addressing_pj": (128 + 192 + 27) * 0.1,
        "inout_pj": 192 * 18 * 10 * 512 / 8192,
        "params_pj": (192 * 18 + 192) * 10 * (54 + 3) * 4 / 8192,
    }
    # theirs pay the layer as often as it ran: once
    assert found.differences() == pytest.approx(
        {name: -(T - 1) * pj for name, pj in evaluation_pj.items()}
    )


@pytest.mark.parametrize("node", [neuron.IFNode, neuron.LIFNode])
def test_a_single_step_has_no_state_in_ours(node: type) -> None:
    found = both(Spiking(node, True, "m"), events(1, 2, 8, 8))
    assert found.ours["potential_pj"] == 0
    # the five values of the readout are written once into a map of 20 B
    written_pj = 5 * 10 * 20 / 8192
    expected = {"potential_pj": found.theirs["potential_pj"], "inout_pj": -written_pj}
    if node is neuron.LIFNode:  # a potential of zero does not leak: 3 x 64 + 4 x 9 + 6 MAC
        expected["ops_pj"] = 234 * 3.2
    assert found.differences() == pytest.approx(expected)
    assert found.theirs["potential_pj"] > found.ours["params_pj"]  # it is what single steps save


def test_their_report_is_of_a_batch_and_its_maps_hold_all_samples() -> None:
    found = both(Formal(), torch.randn(2, 2, 8, 8), batch_dim=0)
    assert found.theirs["ops_pj"] == pytest.approx(2 * found.ours["ops_pj"])
    assert found.theirs["params_pj"] == pytest.approx(2 * found.ours["params_pj"])
    # twice the accesses, to maps of twice the size
    assert found.theirs["inout_pj"] == pytest.approx(4 * found.ours["inout_pj"])
    # the kernel is addressed once a call, not once a sample
    assert found.theirs["addressing_pj"] == pytest.approx(
        2 * found.ours["addressing_pj"] - 27 * 0.1
    )


def test_layers_that_know_no_steps_have_larger_potentials_in_theirs() -> None:
    class Folded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.matrix = nn.Linear(6, 5)
            self.neurons = neuron.IFNode(v_threshold=0.2, step_mode="m")

        def forward(self, x: Tensor) -> Tensor:
            return self.neurons(self.matrix(x.flatten(0, 1)).unflatten(0, (T, 1)))

    found = both(Folded(), events(T, 6))
    theta_in = found.counts.layers[0].spikes_in
    assert theta_in is not None
    # potentials of 4 x 5 values, not of 5, for 2 x theta_in x 5 accesses
    more_pj = 2 * theta_in * 5 * 10 * (T - 1) * 20 / 8192
    assert found.differences() == pytest.approx({"potential_pj": more_pj})


def test_what_they_refuse_is_named_by_ours() -> None:
    model = nn.Sequential(
        layer.Conv2d(2, 3, 3, step_mode="m"),
        neuron.IFNode(v_threshold=0.3, step_mode="m"),
        layer.AvgPool2d(2, step_mode="m"),
        layer.Conv2d(3, 2, 2, step_mode="m"),
    ).eval()
    x = events(T, 2, 8, 8)
    with pytest.raises(ValueError, match="do not support AvgPool2d"):
        estimate_lemaire_energy(model, (x,))
    functional.reset_net(model)
    energy = estimate(count(model, x, batch_dim=1), load_profile("lemaire-spikingjelly"))
    # averages of spikes are graded
    assert energy.missing == ("3: graded input has no formula: there are spikes and real values",)
    assert any(one.startswith("not priced: ") and "pool" in one for one in energy.assumptions)
