import subprocess
import sys

import pytest
import torch
from torch import nn

from dse.design import Design
from dse.errors import BuildFailure, ConfigError
from dse.neurons.binary import BinaryConv2d, BinaryLinear, Sign, binary_weight
from dse.neurons.spiking import IntegrateFire, SingleStep
from dse.neurons.surrogates import S2nn, Sigmoid
from dse.variants import family

VARIANTS = ["ann", "bnn", "qann", "s2nn", "snn"]


def build(variant: str, architecture: str, shape: tuple[int, ...], **knobs) -> nn.Module:
    torch.manual_seed(0)
    return family.load(variant).build(Design.of(variant, architecture, knobs), shape, 10)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("architecture", ["convnet", "mlp"])
@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32)])
def test_logits_and_gradients_everywhere(
    variant: str, architecture: str, shape: tuple[int, ...]
) -> None:
    model = build(variant, architecture, shape)
    logits = model(torch.rand(4, *shape))
    assert logits.shape == (4, 10)
    assert model.time_steps == (4 if variant == "snn" else 1)
    nn.functional.cross_entropy(logits, torch.arange(4)).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
    assert model.layers[0].synapse.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("architecture", ["convnet", "mlp"])
def test_values_between_layers_are_of_the_family(variant: str, architecture: str) -> None:
    model = build(variant, architecture, (1, 8, 8), depth=3)
    seen: list[torch.Tensor] = []
    for layer in model.layers:
        layer.register_forward_hook(lambda module, args, output: seen.append(output))
    model(torch.rand(16, 1, 8, 8))
    values = torch.cat([output.flatten() for output in seen]).unique().tolist()
    if variant in ("ann", "qann"):  # layers of a qann quantise what they read
        assert len(values) > 100
    else:
        assert values == ([-1, 1] if variant == "bnn" else [0, 1])


def test_which_weights_of_a_bnn_are_binary() -> None:
    model = build("bnn", "convnet", (1, 8, 8), depth=2)
    assert type(model.layers[0].synapse) is nn.Conv2d
    assert isinstance(model.layers[1].synapse, BinaryConv2d)
    assert isinstance(model.readout.synapse, BinaryLinear)
    assert all(isinstance(layer.neuron, Sign) and layer.pool_first for layer in model.layers)


def test_without_scale_hidden_weights_are_bits_and_logits_still_have_a_size() -> None:
    model = build("bnn", "mlp", (1, 8, 8), depth=2, scale="none")
    hidden, readout = model.layers[1].synapse, model.readout.synapse
    assert not hidden.is_scaled
    assert readout.is_scaled
    assert binary_weight(hidden.weight, is_scaled=hidden.is_scaled).unique().tolist() == [-1, 1]


def test_knobs_of_a_spiking_network_reach_its_neurons() -> None:
    model = build(
        "snn",
        "mlp",
        (1, 8, 8),
        time_steps=3,
        threshold=0.5,
        leak=0.25,
        reset="hard",
        surrogate="sigmoid",
        surrogate_slope=5.0,
    )
    neuron = model.layers[0].neuron
    assert isinstance(neuron, IntegrateFire)
    assert model.time_steps == 3
    assert (neuron.threshold, neuron.leak, neuron.reset) == (0.5, 0.25, "hard")
    assert neuron.surrogate == Sigmoid(5.0)


@pytest.mark.parametrize(
    ("knobs", "has_leak", "has_threshold"),
    [
        ({}, False, False),
        ({"learned": "leak"}, True, False),
        ({"learned": "threshold"}, False, True),
        ({"learned": "both"}, True, True),
    ],
)
def test_a_layer_of_neurons_learns_what_the_knob_says(
    knobs: dict[str, str], has_leak: bool, has_threshold: bool
) -> None:
    model = build("snn", "mlp", (1, 8, 8), **knobs)
    for layer in model.layers:
        assert (layer.neuron.leak_logit is not None) == has_leak
        assert (layer.neuron.log_threshold is not None) == has_threshold


# one knob at a time: a value that lands in the argument of another is seen in both
@pytest.mark.parametrize(
    ("knobs", "changed"),
    [
        ({"input_scale": "1 - leak"}, {"scales_input": True}),
        ({"initial_potential": 0.25}, {"initial_potential": 0.25}),
        ({"reset_gradient": "full"}, {"is_detached": False}),
        ({"reset": "hard"}, {"reset": "hard"}),
        ({"encoding": "poisson"}, {"coding": "poisson"}),
        ({"encoding": "binary"}, {"coding": "binary"}),
        ({"output": "mean-spikes"}, {"output": "mean-spikes"}),
        ({"output": "every-step"}, {"output": "every-step"}),
        ({"norm": "threshold", "threshold": 0.5}, {"norm_factor": 0.5, "threshold": 0.5}),
        ({"pool": "currents"}, {"pool_first": True}),
    ],
)
def test_each_knob_of_an_snn_changes_what_it_names_and_nothing_else(
    knobs: dict[str, str | float], changed: dict[str, object]
) -> None:
    def seen(model: nn.Module) -> dict[str, object]:
        layer = model.layers[0]
        neuron = layer.neuron
        names = ("threshold", "leak", "reset", "scales_input")
        return {
            **{name: getattr(neuron, name) for name in names},
            "initial_potential": neuron.initial_potential,
            "is_detached": neuron.dynamics.is_detached,
            "coding": model.encoding.coding,
            "output": model.output,
            "norm_factor": getattr(layer.norm, "factor", 1.0),
            "pool_first": layer.pool_first,
        }

    plain = seen(build("snn", "convnet", (1, 8, 8)))
    assert plain["coding"] == "direct"
    assert plain["output"] == "mean-potential"
    assert seen(build("snn", "convnet", (1, 8, 8), **knobs)) == {**plain, **changed}


def test_a_surrogate_that_would_not_follow_a_learned_threshold_is_refused() -> None:
    for learned in ("threshold", "both"):
        with pytest.raises(BuildFailure, match=f"learned {learned} with surrogate s2nn"):
            build("snn", "mlp", (1, 8, 8), learned=learned, surrogate="s2nn")
    build("snn", "mlp", (1, 8, 8), learned="leak", surrogate="s2nn")


def test_the_surrogate_of_a_single_step_knows_the_threshold() -> None:
    neuron = build("s2nn", "mlp", (1, 8, 8), threshold=0.5, surrogate_beta=2.0).layers[0].neuron
    assert isinstance(neuron, SingleStep)
    assert neuron.surrogate == S2nn(4.0, 2.0, 0.5)


def test_a_single_step_is_an_if_network_of_one_step() -> None:
    s2nn = build("s2nn", "convnet", (1, 8, 8), threshold=0.5)
    snn = build("snn", "convnet", (1, 8, 8), threshold=0.5, time_steps=1, leak=1.0)
    snn.load_state_dict(s2nn.state_dict())
    images = torch.rand(8, 1, 8, 8)
    assert torch.equal(s2nn(images), snn(images))


def test_impossible_designs_are_refused() -> None:
    with pytest.raises(BuildFailure, match="snn: time_steps: 65: must be between 1 and 64"):
        build("snn", "mlp", (1, 8, 8), time_steps=65)
    with pytest.raises(BuildFailure, match="ann: treshold: unknown knob"):
        build("ann", "mlp", (1, 8, 8), treshold=1.0)
    with pytest.raises(BuildFailure, match="convnet: input shape"):
        build("ann", "convnet", (1, 8), width=1.0)
    with pytest.raises(ConfigError, match=r'architectures: "mpl" is unknown\. Did you mean "mlp"'):
        build("ann", "mpl", (1, 8, 8))


def test_knowing_a_family_needs_no_torch() -> None:
    code = (
        "import sys; from dse.variants import family; "
        "assert [family.load(name).knobs for name in family.names()]; "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
