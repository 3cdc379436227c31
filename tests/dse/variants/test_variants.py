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
