"""The counter over many batches: what is kept between them, and what must not be."""

import shutil

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import stats
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader, TensorDataset

from dse.counting import kernel
from dse.counting.count import Counter, count
from dse.counting.spread import spread
from dse.counting.weights import code_bits
from dse.errors import TracingError


def net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 4, 3, groups=2),
        nn.Flatten(),
        nn.Linear(64, 3),
    )


def sample_counts(model, x):
    return [count(model, one.unsqueeze(0)).ops for one in x]


def test_a_compiler_builds_the_kernel():
    assert kernel.available() or shutil.which("cc") is None


def test_a_loader_gives_what_one_batch_gives():
    x = torch.randn(10, 2, 6, 6)
    whole = count(net(), x)
    loader = DataLoader(TensorDataset(x, torch.zeros(10)), batch_size=4)
    streamed = count(net(), loader, progress=False)
    assert (streamed.samples, streamed.ops) == (10, whole.ops)
    assert streamed.layers == whole.layers
    assert streamed.spread == whole.spread
    assert count(net(), loader, max_samples=7).ops == count(net(), x[:7]).ops


def test_the_spread_is_that_of_the_samples():
    x = torch.randn(9, 2, 6, 6)
    one_by_one = [ops.mac for ops in sample_counts(net(), x)]
    found = count(net(), [x[:4], x[4:]]).spread["mac"]
    assert found.mean == pytest.approx(np.mean(one_by_one))
    assert found.sd == pytest.approx(np.std(one_by_one, ddof=1))
    assert (found.smallest, found.largest) == (min(one_by_one), max(one_by_one))
    interval = stats.t.interval(0.95, 8, np.mean(one_by_one), stats.sem(one_by_one))
    assert (found.low, found.high) == pytest.approx(interval)


def test_the_spread_of_one_sample_is_itself():
    assert spread(np.array([7.0])).to_dict() == dict.fromkeys(
        ("mean", "low", "high", "smallest", "largest"), 7.0
    ) | {"sd": 0.0}


def test_what_changes_between_passes_is_seen():
    model, x = net(), torch.randn(2, 2, 6, 6)
    with Counter(model) as counter:
        counter(x)
        with torch.no_grad():
            model[0].weight[:2] = 0  # half of the output channels
        counter(x)
        model[3].stride = (2, 2)
        model[5] = nn.Linear(16, 3)
        counter(x)
    fresh = net()
    first = count(fresh, x).ops
    with torch.no_grad():
        fresh[0].weight[:2] = 0
    second = count(fresh, x).ops
    fresh[3].stride, fresh[5] = (2, 2), model[5]
    third = count(fresh, x).ops
    together = counter.counts()
    assert together.samples == 6
    # the mean over 3 x 2 samples
    assert together.ops.mac * 3 == pytest.approx(first.mac + second.mac + third.mac)
    assert together.ops.dense * 3 == pytest.approx(first.dense + second.dense + third.dense)


def test_a_weight_that_the_model_writes_into_is_looked_at_again():
    class Writes(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1, 4))

        def forward(self, x):
            first = F.linear(x, self.weight)
            self.weight.data[:, :2] = 0.0
            second = F.linear(x, self.weight)
            self.weight.data[:, :2] = 1.0
            return first + second

    with Counter(Writes()) as counter:
        for _ in range(3):
            counter(torch.full((1, 4), 0.3))
    # 4 and 2 products a pass
    assert counter.counts().ops.effective == 6


def test_the_output_is_the_models_own():
    model, x = net().eval(), torch.randn(2, 2, 6, 6)
    with torch.no_grad():
        expected = model(x)
    with Counter(model) as counter:
        assert torch.equal(counter(x), expected)
        assert torch.equal(counter(x), expected)


def test_in_pytorch_alone_the_numbers_are_the_same(monkeypatch):
    x = (torch.rand(3, 2, 6, 6) < 0.3).float()
    compiled = count(net(), [x, x])
    monkeypatch.setattr(kernel, "takes", lambda _: False)
    assert count(net(), [x, x]) == compiled


class _Asks(TorchDispatchMode):
    """Notes the operators that bring a value from a device."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func._overloadpacket.__name__ in {"_local_scalar_dense", "nonzero", "is_nonzero"}:
            self.asked.append(func)
        return func(*args, **(kwargs or {}))


def test_looking_brings_nothing_from_another_device():
    from dse.counting.activity import _by_torch

    fans = torch.ones(1, 1, 6, dtype=torch.int32)
    with _Asks() as mode:
        _by_torch((torch.rand(2, 3, 6) < 0.5).float(), fans, True, True)
    assert mode.asked == []


@pytest.mark.parametrize(
    ("codes", "bits"),
    [([-3, -1, 0, 2, 3], 3), ([-127, 5, 127], 8), ([1, 2, 4], 4)],
)
def test_weights_of_few_bits_are_known_by_their_values(codes, bits):
    scale = torch.tensor([[0.013], [0.4]])
    weight = torch.tensor(codes, dtype=torch.float32).repeat(40) * scale
    # |k| <= 3 takes 2 bits and a sign; 127 takes 7, 4 takes 3
    assert code_bits(weight) == bits


def test_weights_of_many_values_are_no_codes():
    torch.manual_seed(0)
    assert code_bits(torch.randn(2, 400)) is None
    assert code_bits(torch.randn(2, 3)) is None


def test_declared_bit_widths_are_taken():
    layer = nn.Linear(4, 2)
    layer.weight_bits, layer.activation_bits = 4, 3
    row = count(layer, torch.randn(2, 4)).layers[0]
    assert (row.weight_bits, row.activation_bits, row.operands[0].bits) == (4, 3, 3)


def test_a_narrower_slice_of_a_weight_is_another_layer():
    class Slim(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(8, 4))
            self.width = 8

        def forward(self, x):
            return F.linear(x, self.weight[: self.width])

    model = Slim()
    x = torch.full((1, 4), 0.3)
    with Counter(model) as counter:
        counter(x)
        model.width = 2
        counter(x)
    # 8 x 4 and 2 x 4, over two samples
    assert counter.counts().ops.dense * 2 == 32 + 8


def test_a_tied_weight_is_two_layers():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.tensor([[0.3, -0.2], [0.7, 0.1], [0.2, 0.9]]))

        def forward(self, x):
            return F.linear(torch.tanh(F.linear(x, self.weight)), self.weight.t())

    counts = count(Tied(), torch.tensor([[1.0, 0.0]]))
    # spikes by 3 outputs, then 3 real values by 2
    assert [(row.ops.ac, row.ops.mac) for row in counts.layers] == [(3, 0), (0, 6)]


def test_a_layer_called_once_a_step_keeps_its_leading_dimension_for_samples():
    class Heads(nn.Module):
        def forward(self, x):
            return sum(torch.bmm(x, x.transpose(1, 2)).sum() for _ in range(2))

    x = torch.rand(4, 3, 5)  # two samples of two heads
    x[:2] = 0
    counts = count(Heads(), x.reshape(2, 2, 3, 5).flatten(0, 1), time_steps=2)
    assert len(counts.layers) == 2

    class Steps(nn.Module):
        def __init__(self):
            super().__init__()
            self.heads = Once()

        def forward(self, x):
            return sum(self.heads(x.flatten(0, 1)) for _ in range(2))

    class Once(nn.Module):
        def forward(self, x):
            return torch.bmm(x, x.transpose(1, 2)).sum()

    counts = count(Steps(), x.reshape(2, 2, 3, 5), time_steps=2)
    # 2 heads x 3 x 3 x 5 in each of two steps, of the second sample alone
    assert counts.spread["mac"].smallest == 0
    assert counts.spread["mac"].largest == 2 * 2 * 45


def test_integers_have_the_bits_of_their_type():
    class Gram(nn.Module):
        def forward(self, x):
            return x @ x.t()

    row = count(Gram(), torch.tensor([[1, 100], [37, 11]], dtype=torch.int16)).layers[0]
    assert row.operands[0].bits == 16


def test_another_thread_that_calls_the_model_is_not_disturbed():
    import threading

    model = nn.Linear(3, 2)
    seen = []

    class Calls(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = model

        def forward(self, x):
            thread = threading.Thread(target=lambda: seen.append(model(x).shape))
            thread.start()
            thread.join()
            return self.layer(x)

    with pytest.raises(TracingError, match="layer runs in a thread of its own"):
        count(Calls(), torch.randn(1, 3))
    assert seen == [(1, 2)]


def test_a_state_in_a_buffer_that_is_read_first_is_warned_of():
    class State(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 3, bias=False)
            self.register_buffer("state", torch.zeros(1, 3))

        def forward(self, x):
            self.state[:] = self.layer(self.state) + x
            return self.layer(self.state)

    counts = count(State(), torch.rand(1, 3))
    assert any("before data were written into it" in text for text in counts.warnings)
