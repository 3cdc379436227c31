"""Whole networks in three contexts: nothing is left out, and the dense totals are torch's own.

`torch.utils.flop_counter` counts a MAC as two, and has no formula for fused attention on a CPU
and for fused recurrent layers: attention runs by its parts there, and an LSTM is a formula here.
"""

import networks
import pytest
import torch
from contexts import CONTEXTS, InContext
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from dse.counting.count import count

SAMPLES = 2
NETWORKS = {
    "resnet18": (networks.resnet18, (3, 16, 16)),
    "vgg16": (networks.vgg16, (3, 32, 32)),
    "mobilenet": (networks.mobilenet, (3, 16, 16)),
    "vision transformer": (networks.VisionTransformer, (3, 16, 16)),
    "vision transformer with weights": (
        lambda: networks.VisionTransformer(need_weights=True),
        (3, 16, 16),
    ),
    "encoder": (networks.Encoder, (6, 16)),
    "spikformer": (networks.Spikformer, (9, 8)),
    "u-net": (networks.UNet, (1, 16, 16)),
}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def dense_of_torch(model, x) -> int:
    """MACs that torch counts, over the batch, in evaluation mode with gradients."""
    model.eval()
    counter = FlopCounterMode(display=False)
    with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH), counter:
        model(x)
    flops = counter.get_total_flops()
    assert flops % 2 == 0
    return flops // 2


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("name", NETWORKS)
def test_all_of_a_network_is_counted(name, context):
    build, shape = NETWORKS[name]
    model, x = build(), torch.randn(SAMPLES, *shape)
    wanted = dense_of_torch(model, x)
    counts = count(InContext(model, context), x, time_steps=getattr(model, "time_steps", None))
    assert counts.uncounted == {}
    assert counts.coverage == 1.0
    assert round(counts.ops.dense * SAMPLES) == wanted > 0
    assert 0 < counts.ops.effective <= counts.ops.dense


@pytest.mark.parametrize("context", CONTEXTS)
def test_all_of_a_sequence_classifier_is_counted(context):
    hidden, steps, features, classes = 6, 7, 5, 3
    model, x = networks.SequenceClassifier(hidden), torch.randn(SAMPLES, steps, features)
    counts = count(InContext(model, context), x)
    assert counts.uncounted == {}
    assert counts.coverage == 1.0
    # a step has 4 gates of 6 units, each from the 5 inputs and 6 states, then from 6 and 6
    lstm = steps * 4 * hidden * ((features + hidden) + (hidden + hidden))
    assert counts.ops.dense == lstm + hidden * classes
    # nothing is zero but the states before the first step, of two levels
    assert counts.ops.effective == counts.ops.dense - 2 * 4 * hidden * hidden


def test_contexts_agree_in_every_class():
    for build, shape in NETWORKS.values():
        torch.manual_seed(0)
        model, x = build(), torch.randn(SAMPLES, *shape)
        steps = getattr(model, "time_steps", None)
        totals = [count(InContext(model, one), x, time_steps=steps).ops for one in CONTEXTS]
        assert all(total == totals[0] for total in totals), build


def test_a_spiking_block_is_made_of_spikes_and_of_their_sums():
    model = networks.Spikformer()
    counts = count(model, torch.randn(SAMPLES, 9, 8))
    kinds = {layer.name: layer.input_kind for layer in counts.layers}
    assert kinds["stem.linear"] == "real"
    assert kinds["q.linear"] == "unit"
    # x plus spikes of the attention: 0, 1 and 2
    assert kinds["wide.linear"] == "small-integers"
    by_steps = [layer for layer in counts.layers if layer.name.startswith(("q.", "k.", "/matmul"))]
    assert by_steps
    for layer in by_steps:
        assert len(layer.steps) == 2
        for name in ("ac", "graded"):
            total = sum(getattr(step, name) for step in layer.steps)
            assert total == pytest.approx(getattr(layer.ops, name))
