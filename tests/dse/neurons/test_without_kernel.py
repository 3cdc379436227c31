"""Without a compiler: the same numbers through PyTorch."""

import pytest
import torch
from neuron_stages import SURROGATES, assert_near, random_currents
from torch import nn

from dse.networks.layer import Stage
from dse.neurons import kernel
from dse.neurons.binary import Sign
from dse.neurons.spiking import IntegrateFire, SingleStep
from dse.neurons.surrogates import Arctan, S2nn, Surrogate

pytestmark = pytest.mark.skipif(not kernel.available(), reason="no kernel was compiled")
Found = list[torch.Tensor]

NEURONS = {
    "if": lambda s: IntegrateFire(0.7, 1.0, "soft", s),
    "lif": lambda s: IntegrateFire(0.7, 0.9, "hard", s, is_reset_detached=False),
    "started": lambda s: IntegrateFire(0.7, 0.5, "soft", s, initial_potential=0.35),
    "plif": lambda s: IntegrateFire(0.3, 0.5, "hard", s, learns_leak=True, scales_input=True),
    "learned": lambda s: IntegrateFire(0.7, 0.9, "soft", s, learns_threshold=True),
}


def results(module: nn.Module, run, currents: torch.Tensor) -> Found:
    currents = currents.detach().requires_grad_()
    outputs = run(currents)
    weights = random_currents(tuple(outputs.shape), 2, outputs.dtype)
    leaves = [currents, *module.parameters()]
    return [outputs, *torch.autograd.grad((outputs * weights).sum(), leaves)]


def both(monkeypatch: pytest.MonkeyPatch, module: nn.Module, run, currents) -> tuple[Found, Found]:
    with_kernel = results(module, run, currents)
    monkeypatch.setattr(kernel, "_library", None)
    assert not kernel.available()
    return with_kernel, results(module, run, currents)


@pytest.mark.parametrize("name", NEURONS)
@pytest.mark.parametrize("surrogate", SURROGATES, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("shape", [(5, 3, 17), (3, 2, 4, 5, 3)])
def test_neurons(
    monkeypatch: pytest.MonkeyPatch, name: str, surrogate: Surrogate, shape: tuple[int, ...]
) -> None:
    neuron = NEURONS[name](surrogate)
    currents = random_currents(shape, 1, torch.float32)
    ours, plain = both(monkeypatch, neuron, neuron, currents)
    assert torch.equal(ours[0], plain[0])
    for one, two in zip(ours[1:], plain[1:], strict=True):
        assert_near(one, two, 2e-5)


@pytest.mark.parametrize("pool", [None, 2])
@pytest.mark.parametrize("is_training", [True, False])
@pytest.mark.parametrize(
    ("neuron", "current_steps", "steps"),
    [
        (IntegrateFire(0.4, 0.5, "soft", Arctan(2.0)), 1, 3),
        (IntegrateFire(0.4, 0.5, "hard", Arctan(2.0)), 3, 3),
        (SingleStep(0.4, S2nn()), 1, 1),
        (Sign(), 1, 1),
        (nn.ReLU(), 1, 1),
        (None, 1, 1),
    ],
)
def test_stages_of_a_network(
    monkeypatch: pytest.MonkeyPatch,
    pool: int | None,
    is_training: bool,
    neuron: nn.Module | None,
    current_steps: int,
    steps: int,
) -> None:
    # double: statistics are summed in another order, and single ones would move a spike or two
    stage = Stage(nn.BatchNorm2d(5), neuron, pool).double().train(is_training)
    currents = random_currents((2 * current_steps, 5, 5, 4), 3, torch.float64)
    before = {name: value.clone() for name, value in stage.state_dict().items()}

    def run(currents: torch.Tensor) -> torch.Tensor:
        stage.load_state_dict(before)
        return stage.fire(currents, current_steps, steps, None)

    ours, plain = both(monkeypatch, stage, run, currents)
    for one, two in zip(ours, plain, strict=True):
        assert_near(one, two, 1e-10)


def test_a_library_of_another_version_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "_VERSION", -1)
    assert kernel._load() == ("none", None)


def test_a_processor_without_a_build_of_its_own_takes_the_plain_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "SOMETHING NEW")
    monkeypatch.setattr(kernel.ctypes, "CDLL", lambda path: asked.append(path) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        kernel._load()
    assert asked[0].endswith("libneurons-plain.so")


def test_a_missing_library_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    monkeypatch.setattr(kernel, "_BUILDS", {"AVX2": ("of no processor",)})
    assert kernel._load() == ("none", None)
    monkeypatch.setattr(kernel, "_library", None)
    with pytest.raises(RuntimeError, match="neuron kernel: not compiled"):
        kernel.moments(torch.zeros(2, 3), 3)


@pytest.mark.skipif(not kernel.available(), reason="the kernel was not compiled")
def test_a_build_that_is_missing_leaves_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    monkeypatch.setattr(kernel, "_BUILDS", {"AVX2": ("of no processor", "plain")})
    assert kernel._load()[0] == "plain"
