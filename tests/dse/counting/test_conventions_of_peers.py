"""Our conventions beside the very tools: the same number, or the reason why not."""

from __future__ import annotations

import sys
import types

import pytest
import torch
from convention_networks import (
    MODELS,
    STEPS,
    Attention,
    Crops,
    FusedAttention,
    Steps,
    ann,
    conv_snn,
)
from torch import Tensor, nn

from dse.counting.count import count
from energy_models.conventions import Convention, compare

# the tools' own warnings are not ours to mend
pytestmark = pytest.mark.filterwarnings("ignore")

SAMPLES = 4


@pytest.fixture(params=MODELS, ids=list(MODELS))
def model(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(0)
    return MODELS[request.param]().eval()


@pytest.fixture
def x() -> Tensor:
    return torch.rand(SAMPLES, 2, 8, 8, generator=torch.Generator().manual_seed(1)) * 1.5


def rows(model: nn.Module, *batches: Tensor) -> dict[str, Convention]:
    return {row.name: row for row in compare(count(model, list(batches), conventions=True))}


def neurobench(model: nn.Module, *batches: Tensor) -> dict[str, float]:
    pytest.importorskip("neurobench")
    from neurobench.metrics.workload import SynapticOperations
    from neurobench.models import TorchModel

    wrapped, metric = TorchModel(model), SynapticOperations()
    wrapped.register_hooks()
    for batch in batches:
        found = metric(wrapped, wrapped(batch), (batch, torch.zeros(len(batch))))
        wrapped.reset_hooks()
    wrapped.cleanup_hooks()
    return found


def spikingjelly(model: nn.Module, *batches: Tensor) -> tuple[float, float]:
    """Spike-driven synaptic operations and MACs, per sample."""
    tool = pytest.importorskip("spikingjelly.activation_based.op_counter")
    synops, macs = tool.SynOpCounter(), tool.MACCounter()
    with torch.no_grad(), tool.DispatchCounterMode([synops, macs]):
        for batch in batches:
            model(batch)
    samples = sum(len(batch) for batch in batches)
    return synops.get_total() / samples, macs.get_total() / samples


@pytest.fixture
def syops(monkeypatch: pytest.MonkeyPatch):
    """The tool's (dense, AC, MAC) per sample; it needs names that newer libraries dropped."""
    neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
    for name in ("IFNode", "LIFNode", "ParametricLIFNode"):
        if not hasattr(neuron, f"MultiStep{name}"):
            gone = type(f"MultiStep{name}", (nn.Module,), {})
            monkeypatch.setattr(neuron, f"MultiStep{name}", gone, raising=False)
    if "progress" not in sys.modules:
        bar = types.ModuleType("progress.bar")
        silent = {"next": lambda self: None, "finish": lambda self: None, "suffix": ""}
        bar.Bar = type("Bar", (), {"__init__": lambda self, *a, **k: None, **silent})
        monkeypatch.setitem(sys.modules, "progress", types.ModuleType("progress"))
        monkeypatch.setitem(sys.modules, "progress.bar", bar)
    pytest.importorskip("syops")
    from syops import get_model_complexity_info

    def run(model: nn.Module, *batches: Tensor) -> tuple[float, float, float]:
        loader = [(batch, torch.zeros(len(batch))) for batch in batches]
        (dense, ac, mac, _), _ = get_model_complexity_info(
            model, (1,), loader, as_strings=False, print_per_layer_stat=False
        )
        return dense, ac, mac

    return run


def test_neurobench(model: nn.Module, x: Tensor) -> None:
    row, found = rows(model, x)["NeuroBench"], neurobench(model, x)
    assert (row.ac, row.mac, row.dense) == (
        found["Effective_ACs"],
        found["Effective_MACs"],
        found["Dense"],
    )


def test_spikingjelly(model: nn.Module, x: Tensor) -> None:
    row = rows(model, x)["SpikingJelly"]
    assert (row.ac, row.mac) == spikingjelly(model, x)


def test_syops(model: nn.Module, x: Tensor, syops) -> None:
    row = rows(model, x)["syops"]
    dense, ac, mac = syops(model, x)
    assert row.dense == pytest.approx(dense, rel=1e-12)
    assert row.mac == pytest.approx(mac, rel=1e-12)
    # the tool takes its rates in 32 bits
    assert row.ac == pytest.approx(ac, rel=1e-6)


def test_the_cases_hold_both_accumulates_and_macs(x: Tensor) -> None:
    torch.manual_seed(0)
    row = rows(conv_snn(), x)["NeuroBench"]
    assert row.ac > 0 and row.mac > 0 and row.dense > row.total


@pytest.mark.parametrize("name", ["conv SNN, plain torch", "ANN"])
def test_batches_of_different_sizes(name: str, x: Tensor, syops) -> None:
    # syops adds the bias of a linear layer once a call, whatever the batch: half as often per
    # sample in a batch twice as large. With unequal batches its rate is a mean over calls, and
    # the document's a mean over samples: they differ by less than the bias.
    torch.manual_seed(0)
    model, batches = MODELS[name]().eval(), (x[:3], x[3:])
    found = rows(model, *batches)
    assert (found["SpikingJelly"].ac, found["SpikingJelly"].mac) == spikingjelly(model, *batches)
    ours, theirs = found["NeuroBench"], neurobench(model, *batches)
    assert (ours.ac, ours.mac) == (theirs["Effective_ACs"], theirs["Effective_MACs"])
    dense, ac, mac = syops(model, *batches)
    assert found["syops"].dense == pytest.approx(dense, rel=1e-12)
    assert found["syops"].mac == pytest.approx(mac, rel=1e-12)
    bias = 5 * len(batches) * STEPS / SAMPLES
    assert found["syops"].ac == pytest.approx(ac, abs=bias)


def test_a_decision_over_all_calls_says_so(x: Tensor) -> None:
    # the first step of average-pooled spikes may hold one value, and later ones hold several
    torch.manual_seed(0)
    model = MODELS["average-pooled spikes"]().eval()
    merged, told = rows(model, x[:2], x[2:]), rows(model, x)
    text = "decided by the values of several calls together"
    for name in ("syops", "NeuroBench", "SpikingJelly"):
        assert any(text in note and "net.4" in note for note in merged[name].notes)
        assert not any(text in note for note in told[name].notes)
    # syops decides by the input of normalisation as well
    [note] = [note for note in merged["syops"].notes if text in note]
    assert "net.1" in note


def test_spikes_that_are_normalised_and_pooled(x: Tensor, syops) -> None:
    torch.manual_seed(0)
    model = Crops().eval()
    row, (dense, ac, mac) = rows(model, x)["syops"], syops(model, x)
    assert row.ac == pytest.approx(ac, rel=1e-6) and ac > 0
    assert (row.mac, row.dense) == (mac, dense)


def test_functional_products(x: Tensor) -> None:
    torch.manual_seed(0)
    model, tokens = Steps(Attention()).eval(), torch.rand(SAMPLES, 4, 6) * 3
    found = rows(model, tokens)
    assert (found["SpikingJelly"].ac, found["SpikingJelly"].mac) == spikingjelly(model, tokens)
    theirs = neurobench(model, tokens)
    assert (found["NeuroBench"].ac, found["NeuroBench"].mac) == (
        theirs["Effective_ACs"],
        theirs["Effective_MACs"],
    )
    assert found["NeuroBench"].total_off_percent < 0
    [note] = found["NeuroBench"].notes
    assert note.count("matmul#") == 4


@pytest.mark.parametrize(
    ("build", "seen"),
    [
        # 4 tokens: 4 x 6 x 8 and 4 x 8 x 3
        (FusedAttention, 4 * 6 * 8 + 4 * 8 * 3),
        (lambda: nn.Sequential(nn.LSTM(6, 4, batch_first=True)), 0),
        (lambda: nn.Sequential(nn.TransformerEncoderLayer(6, 2, 16, batch_first=True)), 0),
    ],
    ids=["attention", "LSTM", "encoder layer"],
)
def test_products_inside_of_fused_operators(build, seen: int) -> None:
    torch.manual_seed(0)
    model, tokens = build().eval(), torch.rand(SAMPLES, 4, 6)
    row = rows(model, tokens)["SpikingJelly"]
    assert (row.ac, row.mac) == spikingjelly(model, tokens) == (0, seen)
    assert any("being an operator without a rule" in note for note in row.notes)


def test_hooks_keep_an_encoder_layer_from_being_fused() -> None:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(6, 2, 16, batch_first=True)
    model, tokens = nn.Sequential(layer).eval(), torch.rand(SAMPLES, 4, 6)
    row = rows(model, tokens)["NeuroBench"]
    assert row.mac is row.dense is None
    # the two layers behind the attention are run, and seen, as modules: 2 x 4 x 6 x 16
    with torch.no_grad():
        assert neurobench(model, tokens)["Dense"] == 768


def test_layers_of_another_library_over_all_steps_at_once(syops) -> None:
    layer = pytest.importorskip("spikingjelly.activation_based.layer")
    neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
    torch.manual_seed(0)
    model = nn.Sequential(
        layer.Conv2d(2, 3, 3, padding=1, step_mode="m"),
        neuron.IFNode(v_threshold=0.2, step_mode="m"),
        layer.Conv2d(3, 2, 3, step_mode="m"),
    ).eval()
    x = torch.rand(STEPS, SAMPLES, 2, 6, 6)
    counts = count(model, x, time_steps=STEPS, batch_dim=1, conventions=True)
    found = {row.name: row for row in compare(counts)}
    model[1].reset()
    # a derived class is a convolution to NeuroBench, and nothing to syops: neurons alone;
    # both take the leading dimension, here time, for the samples
    theirs = neurobench(model, x)
    scale = STEPS / SAMPLES
    assert found["NeuroBench"].ac == pytest.approx(theirs["Effective_ACs"] * scale, rel=1e-12)
    assert found["NeuroBench"].mac == pytest.approx(theirs["Effective_MACs"] * scale, rel=1e-12)
    assert found["NeuroBench"].ac > 0
    model[1].reset()
    dense, ac, mac = syops(model, x)
    assert (found["syops"].ac, found["syops"].mac) == (ac * scale, mac * scale)
    assert found["syops"].dense == dense * scale == 3 * 6 * 6 * STEPS
    model[1].reset()
    ac, mac = spikingjelly(model, x)
    assert found["SpikingJelly"].ac == pytest.approx(ac * scale, rel=1e-12)
    assert found["SpikingJelly"].mac == pytest.approx(mac * scale, rel=1e-12)


def test_circular_padding_is_no_padding_to_the_layer(x: Tensor) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular"))
    row, theirs = rows(model, x)["NeuroBench"], neurobench(model, x)
    assert (row.mac, row.dense) == (theirs["Effective_MACs"], theirs["Dense"])


def test_a_model_that_is_one_layer(x: Tensor) -> None:
    torch.manual_seed(0)
    model = nn.Linear(8, 3)
    row, theirs = rows(model, x[:, 0, 0])["NeuroBench"], neurobench(model, x[:, 0, 0])
    assert row.dense == row.total == theirs["Dense"] == 0
    assert row.notes == ("not seen, being no Linear or Conv module inside the model: linear",)


def test_neurobench_crashes_on_an_lstm() -> None:
    pytest.importorskip("neurobench")
    with pytest.raises(TypeError, match="exceptions must derive"):
        neurobench(nn.Sequential(nn.LSTM(2, 3)), torch.rand(1, 4, 2))


def test_where_the_document_and_the_tools_part(x: Tensor, syops) -> None:
    torch.manual_seed(0)
    # an even kernel with padding="same" is padded before the convolution: the row sees a larger
    # image, and NeuroBench takes the padded border for border
    same = nn.Sequential(nn.Conv2d(2, 3, 2, padding="same"))
    row, theirs = rows(same, x)["NeuroBench"], neurobench(same, x)
    assert row.mac == theirs["Effective_MACs"]
    assert row.dense > theirs["Dense"]
    # two values that are no small multiples of one another are real numbers to the document, and
    # spikes to syops if they lie within 0 and 1
    two = torch.where(x > 0.7, 1.0, 0.3)
    pair = nn.Sequential(nn.Conv2d(2, 3, 3))
    assert rows(pair, two)["syops"].ac == 0 < syops(pair, two)[1]
    # ReLU is decided by syops from the first sample alone; one that gives only zeros is a spike
    # train that is silent, and it loses its MACs
    dark = nn.Sequential(nn.ReLU(), nn.Flatten(), nn.Linear(128, 2))
    x = torch.cat([-x[:1], x])
    lost = 2 * 8 * 8
    assert rows(dark, x)["syops"].mac - syops(dark, x)[2] == pytest.approx(lost)


def test_spikingjelly_prints_zero_in_inference_mode(x: Tensor) -> None:
    tool = pytest.importorskip("spikingjelly.activation_based.op_counter")
    synops, macs = tool.SynOpCounter(), tool.MACCounter()
    with torch.inference_mode(), tool.DispatchCounterMode([synops, macs]):
        ann().eval()(x)
    assert synops.get_total() + macs.get_total() == 0
