"""Every library trains the same network: same spikes, same gradients, a step that learns."""

import pytest
import torch

from benchmarks.training import contestants, plain
from benchmarks.training.dynamics import dynamics_table
from benchmarks.training.steps import Habits
from benchmarks.training.works import WORKS, Work, batch, layers_of, load_parameters, with_norm
from dse.architectures.positions import Position

# libraries warn about themselves, and about what of PyTorch they still use
pytestmark = pytest.mark.filterwarnings("ignore")

SMALL = Work(
    "small",
    (
        Position("conv", "first", 1, 4, kernel=3, padding=1, pool=2),
        Position("conv", "hidden", 4, 6, kernel=3, padding=1, pool=2),
        Position("linear", "readout", 24, 10, flatten=True),
    ),
    (1, 8, 8),
    6,
    "none",
)


def listed(work: Work, time_steps: int = 3, *, is_tuned: bool = False):
    return contestants.contestants(
        work, time_steps, route="default", is_tuned=is_tuned, bfloat16=False
    )


@pytest.mark.slow  # imports every library
@pytest.mark.parametrize("norm", ["none", "batch"])
def test_all_libraries_spike_alike(norm):
    work = with_norm(SMALL, norm)
    table = dynamics_table(work, 3, [c for c in listed(work) if not c.is_dse])
    assert len(table.rows) == 7
    for name, logits, gradient in (row for row in table.rows if len(row) == 3):
        assert logits == "equal", name
        if norm == "none" and "SuperSpike" not in gradient:
            assert gradient == "equal" or float(gradient) < 1e-5, name


def test_our_network_spikes_as_the_plain_loop():
    work = with_norm(SMALL, "batch")
    table = dynamics_table(work, 3, [c for c in listed(work) if c.is_dse])
    assert [row[:2] for row in table.rows] == [("dse", "equal")]


@pytest.mark.slow
@pytest.mark.parametrize("is_tuned", [False, True])
def test_every_step_changes_the_weights(is_tuned):
    work = with_norm(SMALL, "batch")
    for contestant in [
        *listed(work, is_tuned=is_tuned),
        *contestants.families(work, route="default"),
    ]:
        if contestant.name.startswith("SpikingJelly, first"):
            continue  # the same as the other, but for one call
        model = contestants.built(contestant, work)
        before = [layer.weight.detach().clone() for layer in layers_of(model)]
        steps = contestants.ready(contestant, model, *batch(work))
        steps.train()
        steps.infer()
        steps.train()
        after = [layer.weight for layer in layers_of(model)]
        moved = [not torch.equal(a, b) for a, b in zip(before, after, strict=True)]
        assert all(moved), contestant.name


def test_a_library_that_is_not_there_is_named():
    one = contestants.Contestant("ghost", lambda: torch.nn.Identity(), distribution="ghost_snn")
    with pytest.raises(contestants.NotAvailable, match="not installed"):
        contestants.prepare(one, SMALL)


def test_what_a_library_raises_is_told_and_not_raised():
    def build():
        raise KeyError("v")

    table = dynamics_table(SMALL, 2, [contestants.Contestant("broken", build)])
    assert table.rows == [("broken", "fails: KeyError: 'v'")]


def test_an_error_of_our_own_is_a_bug_and_not_a_result():
    def build():
        raise KeyError("v")

    with pytest.raises(KeyError):
        contestants.prepare(contestants.Contestant("broken", build, is_dse=True), SMALL)
    assert all(
        one.is_dse == one.name.startswith("dse")
        for one in contestants.families(SMALL, route="default")
    )


def test_potentials_never_meet_the_threshold():
    # there, >= and > would differ, and libraries with them
    loop = plain.Loop(SMALL, 4)
    load_parameters(loop, SMALL)
    images, _ = batch(SMALL)
    potential, distances = 0.0, []
    for _ in range(4):
        potential = 0.5 * potential + loop.currents[0](images)
        distances.append((potential - 1.0).abs().min().item())
        potential = potential * (potential < 1.0)
    assert min(distances) > 0


@pytest.mark.parametrize("name", sorted(WORKS))
def test_layers_of_a_network_fit_one_another(name):
    work = WORKS[name]
    logits = plain.Loop(work, 1)(batch(work)[0][:2])
    assert logits.shape == (2, 10)


@pytest.mark.parametrize("bfloat16", [False, True])
def test_the_floor_runs_every_layer_forward_and_back(bfloat16):
    steps = plain.floor(SMALL, 2, Habits(bfloat16=bfloat16))
    steps.train()
    steps.infer()
