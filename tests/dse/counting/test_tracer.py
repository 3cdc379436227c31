"""The tracer on awkward networks: names, calls, contexts, what is folded and what is unknown."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dse.counting.count import count
from dse.errors import TracingError


def names(counts):
    return [layer.name for layer in counts.layers]


def test_layers_functional_calls_and_batches_of_matrices():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Conv1d(2, 3, 3)
            self.weight = nn.Parameter(torch.randn(5, 3))

        def forward(self, x):
            y = self.first(x)  # (B, 3, 4)
            y = F.linear(y.transpose(1, 2), self.weight)  # (B, 4, 5)
            scores = torch.einsum("bik,bjk->bij", y, y)  # (B, 4, 4)
            return torch.baddbmm(scores, scores, scores)

    counts = count(Mixed(), torch.randn(2, 2, 6))
    assert names(counts) == ["first", "/linear#0", "/matmul#0", "/matmul#1"]
    dense = [layer.ops.dense for layer in counts.layers]
    # 4 places x 3 x 2 x 3; 4 x 3 x 5; 4 x 5 x 4; 4 x 4 x 4
    assert dense == [72, 60, 80, 64]
    assert counts.coverage == 1
    assert counts.uncounted == {}


def test_shared_modules_keep_their_calls_and_lists_their_names():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.block = nn.Sequential(nn.Linear(3, 3), nn.ReLU())
            self.blocks = nn.ModuleList([self.block, nn.Linear(3, 2)])
            self.never_called = nn.Linear(3, 3)

        def forward(self, x):
            return self.blocks[1](self.block(self.blocks[0](x)))

    counts = count(Shared(), torch.randn(2, 3))
    assert names(counts) == ["block.0", "blocks.1"]
    assert len(counts.layers[0].calls) == 2
    assert counts.layers[0].ops.dense == 2 * 9


def test_a_layer_alone_is_called_by_its_operator():
    assert names(count(nn.Linear(3, 2), torch.randn(1, 3))) == ["linear"]


@pytest.mark.parametrize("context", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_contexts_see_the_same(context):
    class InContext(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 2, 3, padding="same")
            self.head = nn.Linear(32, 3)

        def forward(self, x):
            with context():
                return self.head(torch.relu(self.conv(x)).flatten(1))

    torch.manual_seed(0)
    counts = count(InContext(), torch.rand(2, 1, 4, 4))
    # 16 places x 9 taps x 2 channels, and 32 x 3
    assert [layer.ops.dense for layer in counts.layers] == [288, 96]
    assert names(counts) == ["conv", "head"]
    assert all(layer.has_bias for layer in counts.layers)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("kind", ["traced", "scripted", "frozen"])
def test_scripted_models_are_counted_and_left_alone(kind):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv1d(2, 3, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Flatten())
    x = torch.randn(2, 2, 6)
    model = torch.jit.trace(net.eval(), x) if kind == "traced" else torch.jit.script(net.eval())
    if kind == "frozen":
        model = torch.jit.freeze(model)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    counts = count(model, x)
    assert counts.ops.dense == 4 * 3 * 2 * 3
    assert counts.uncounted == {}
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())


def test_recurrent_cells_and_layers_that_decompose():
    counts = count(_First(nn.GRU(3, 2, batch_first=True)), torch.randn(1, 4, 3))
    # three gates of 2 from 3 inputs and 2 states, 4 steps
    assert counts.ops.dense == 4 * 3 * 2 * (3 + 2)
    assert counts.coverage == 1


class _First(nn.Module):
    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, x):
        return self.module(x)[0]


def test_recurrent_layers_have_a_row_a_weight_and_a_call_a_step():
    counts = count(_First(nn.LSTM(3, 2, batch_first=True)), torch.randn(1, 4, 3))
    assert names(counts) == ["module/linear#0", "module/linear#1"]
    # 4 steps x 4 gates of 2, from 3 inputs at once, and from 2 states a step
    assert [layer.ops.dense for layer in counts.layers] == [4 * 8 * 3, 4 * 8 * 2]
    # the state before the first step is zero
    assert [call.mac for call in counts.layers[1].calls] == [0, 16, 16, 16]
    assert counts.coverage == 1


def test_the_fast_path_of_an_encoder_shows_its_products():
    counts = count(nn.TransformerEncoderLayer(4, 2, 6, batch_first=True), torch.randn(1, 5, 4))
    # 5 tokens: in-projection to 12, out to 4, two layers of 6; attention of 5 x 5 by 4 twice
    assert counts.ops.dense == 5 * 4 * (12 + 4 + 6 + 6) + 2 * 5 * 5 * 4
    assert counts.coverage == 1


def test_batch_norm_folds_into_the_layer_that_it_follows():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.BatchNorm2d(2))
    counts = count(net, torch.randn(2, 1, 4, 4))
    assert counts.layers[0].folded == ("1",)
    # the second one follows a ReLU: it stays, and is named. 2 x 2 x 2 elements
    assert counts.not_priced["native_batch_norm"] == {
        "class": "normalisation",
        "calls": 1,
        "elements": 8,
    }


def test_an_operator_without_a_rule_is_named_with_its_sizes():
    class Spectrum(nn.Module):
        def forward(self, x):
            return torch.fft.rfft(x).abs()

    counts = count(nn.Sequential(nn.Linear(4, 4), Spectrum()), torch.randn(2, 3, 4))
    [(name, entry)] = counts.uncounted.items()
    assert name == "aten._fft_r2c"
    assert entry.calls == 1
    assert entry.modules == ("1",)
    assert entry.sizes[0] == ((2, 3, 4),)
    assert counts.coverage == 1 / 2


def test_a_weight_made_from_parameters_is_a_weight():
    class Signed(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.tensor([[0.3, -2.0], [1.0, 0.5]]))

        def forward(self, x):
            scale = self.weight.abs().mean(dim=1, keepdim=True)
            return F.linear(x, torch.where(self.weight >= 0, scale, -scale))

    row = count(Signed(), torch.tensor([[1.0, -1.0]])).layers[0]
    assert row.weight_kind == "binary"
    assert row.ops.binary == 4


def test_products_of_parameters_alone_are_made_once():
    class LowRank(nn.Module):
        def __init__(self):
            super().__init__()
            self.u = nn.Parameter(torch.randn(3, 2))
            self.v = nn.Parameter(torch.randn(2, 3))

        def forward(self, x):
            return x @ (self.u @ self.v)

    counts = count(LowRank(), torch.randn(1, 3))
    assert counts.ops.dense == 9
    assert any("product of parameters alone" in text for text in counts.assumptions)


class _Neurons(nn.Module):
    """Thresholds at 0.5, over T steps: enough to test the protocol with the tracer."""

    def forward(self, current):
        return (current >= 0.5).to(current.dtype)

    def neuron_events(self, inputs, outputs):
        return {"neurons": inputs[0].numel(), "compare": inputs.numel(), "state_read": 0}


class _OverTime(nn.Module):
    time_steps = 3

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 5), nn.Linear(5, 2)
        self.neurons = _Neurons()

    def forward(self, x):
        current = self.first(x).expand(3, -1, -1)
        spikes = self.neurons(current)
        return self.second(spikes.flatten(0, 1)).unflatten(0, (3, -1)).mean(dim=0)


def test_time_neurons_and_a_first_layer_that_is_computed_once():
    torch.manual_seed(1)
    samples = 8
    x = torch.randn(samples, 4) * 2
    model = _OverTime()
    counts = count(model, x)
    first, neurons, second = counts.layers
    spikes = int((model.first(x) >= 0.5).sum())
    assert counts.time_steps == 3
    assert (first.reused_steps, second.reused_steps) == (3, 1)
    assert first.ops.dense_mac == 4 * 5
    assert second.ops.dense_ac == 3 * 5 * 2
    # the same current at every step: every step fires alike
    assert [round(step.ac * samples) for step in second.steps] == [spikes * 2] * 3
    assert neurons.operator == "neuron"
    assert neurons.neurons == 5
    assert neurons.updates.compare == 3 * 5
    assert round(neurons.spikes_out * samples) == 3 * spikes
    assert neurons.fed_by == ("first",)
    assert first.spikes_out == neurons.spikes_out
    assert counts.spikes == neurons.spikes_out
    assert "ge" not in counts.not_priced


def test_a_module_called_every_step_tells_its_steps():
    class Loop(nn.Module):
        time_steps = 2

        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 3, bias=False)

        def forward(self, x):
            return self.layer(x) + self.layer(torch.zeros_like(x))

    row = count(Loop(), torch.tensor([[1.0, 1.0]])).layers[0]
    assert [step.ac for step in row.steps] == [6, 0]
    assert row.reused_steps == 1


def test_batches_add_up_and_are_cut_to_the_samples_asked_for():
    model = nn.Linear(3, 2)
    batches = [torch.randn(4, 3), (torch.randn(4, 3), torch.zeros(4))]
    counts = count(model, batches, max_samples=6)
    assert counts.samples == 6
    assert counts.ops.mac == 6


def test_twice_the_batch_is_the_same_per_sample():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2))
    x = torch.randn(3, 1, 4, 4)
    assert count(model, x).ops == count(model, torch.cat([x, x])).ops


def test_a_model_that_raises_says_where():
    net = nn.Sequential(nn.Linear(3, 2), nn.Linear(3, 2))
    with pytest.raises(TracingError, match=r"1 raised RuntimeError for an input of shape \(1, 3\)"):
        count(net, torch.randn(1, 3))
    assert count(nn.Linear(3, 2), torch.randn(1, 3)).ops.dense == 6


def test_nothing_to_count_on():
    with pytest.raises(TracingError, match="not one sample"):
        count(nn.Linear(3, 2), [])
    with torch.device("meta"):
        model = nn.Linear(3, 2)
    with pytest.raises(TracingError, match="meta device"):
        count(model, torch.randn(1, 3))


def test_the_output_is_not_changed():
    seen = []

    class Keeps(nn.Sequential):
        def forward(self, x):
            seen.append(super().forward(x))
            return seen[-1]

    torch.manual_seed(0)
    model = Keeps(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU()).eval()
    x = torch.randn(2, 1, 5, 5)
    with torch.no_grad():
        model(x)
    count(model, x)
    assert torch.equal(seen[0], seen[1])


def test_the_module_that_raised_is_named_with_its_line():
    class Fails(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(3, 2)

        def forward(self, x):
            x = self.first(x)
            raise RuntimeError("mine")

    with pytest.raises(
        TracingError, match=r"^the model raised RuntimeError \(test_tracer.py:\d+\)"
    ):
        count(Fails(), torch.randn(1, 3))
    with pytest.raises(TracingError, match=r"^1 raised RuntimeError"):
        count(nn.Sequential(nn.Linear(3, 2), nn.Linear(3, 2)), torch.randn(1, 3))


def test_samples_that_may_lie_in_another_dimension_are_doubted():
    recurrent = _First(nn.GRU(3, 2))
    x = torch.randn(5, 4, 3)
    assert any("batch_first=False" in text for text in count(recurrent, x).warnings)
    told = count(recurrent, x, batch_dim=1)
    # 5 steps, three gates of 2 from 3 inputs and 2 states
    assert (told.samples, told.ops.dense, told.warnings) == (4, 5 * 6 * (3 + 2), ())

    class Spiking(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 2)

        def forward(self, x):
            v = 0.0
            steps = []
            for current in x:
                v = 0.5 * v + self.layer(current)
                s = (v > 0.1).float()
                v = v - 0.1 * s
                steps.append(s)
            return torch.stack(steps)

    counts = count(Spiking(), x)
    assert counts.time_steps == 5
    assert any("as many as there are time steps" in text for text in counts.warnings)
    assert count(Spiking(), x, batch_dim=1).warnings == ()


def test_a_matrix_product_written_by_hand_is_warned_of():
    class ByHand(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(3, 2))

        def forward(self, x):
            return (x.unsqueeze(-1) * self.weight).sum(dim=1)

    assert any("written by hand" in text for text in count(ByHand(), torch.randn(4, 3)).warnings)
    scaled = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3), nn.GELU())
    assert count(scaled, torch.randn(1, 2, 4, 4)).warnings == ()
