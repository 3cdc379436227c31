"""Awkward ways to write a model: each was once counted wrongly, or not at all."""

from collections import OrderedDict, deque

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dse.counting.count import count
from dse.errors import TracingError


class Call(nn.Module):
    """A module that is one function of its tensors and inputs."""

    def __init__(self, function, **tensors):
        super().__init__()
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor)
        self.function = function

    def forward(self, *inputs):
        return self.function(self, *inputs)


def spikes(*shape, seed=0):
    return (torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < 0.5).float()


def classes(counts):
    return {
        name: round(value * counts.samples)
        for name, value in counts.ops.to_dict().items()
        if value and name != "dense"
    }


def test_data_written_into_memory_that_came_from_a_weight():
    weight = torch.randn(4, 6)

    def padded(self, x):
        wide = self.weight.new_zeros(2, 6)
        wide[:, :4] = x
        return F.linear(wide, self.weight)

    counts = count(Call(padded, weight=weight), torch.randn(2, 4))
    # 2 x 6 x 4 dense, 2 x 4 x 4 with data
    assert classes(counts) == {"mac": 32, "dense_mac": 48}


def test_data_kept_in_a_buffer_are_data():
    def cached(self, x):
        self.cache[:, :4] = x
        return self.cache[:, :4] @ x.transpose(1, 2)

    x = torch.ones(2, 4, 5)
    counts = count(Call(cached, cache=torch.zeros(2, 6, 5)), x)
    assert classes(counts) == {"ac": 2 * 4 * 5 * 4, "dense_ac": 2 * 4 * 5 * 4}


def test_a_generated_kernel_with_several_levels():
    kernel = torch.tensor([[[[1.0, 2.0]]]])
    counts = count(
        Call(lambda self, x, k: F.conv2d(x, k)), (torch.ones(1, 1, 3, 3), kernel), max_samples=1
    )
    # 3 x 2 places, one tap of each level
    assert classes(counts) == {"ac": 6, "graded": 6, "graded_accumulates": 12, "dense_graded": 12}


def test_a_factor_without_time_beside_one_with_time():
    left, right = spikes(3, 2, 5), spikes(5, 4, seed=1)
    counts = count(
        Call(lambda self, x, k: x.flatten(0, 1) @ k), (left, right), time_steps=3, batch_dim=1
    )
    expected = int(((left.flatten(0, 1).unsqueeze(2) * right) != 0).sum())
    assert classes(counts) == {"ac": expected, "dense_ac": 6 * 5 * 4}
    [row] = counts.layers
    for step in range(3):
        pairs = int(((left[step].unsqueeze(2) * right) != 0).sum())
        assert round(row.steps[step].ac * 2) == pairs


@pytest.mark.parametrize("inner", [1, 2])
@pytest.mark.parametrize(
    "function",
    [
        lambda self, x: torch.einsum("bck,cd->bdk", x, self.weight),
        lambda self, x: torch.tensordot(x.transpose(1, 2), self.weight, dims=1),
    ],
)
def test_contractions_over_a_single_element(function, inner):
    x = torch.randn(3, inner, 4)
    counts = count(Call(function, weight=torch.randn(inner, 5)), x)
    assert round(counts.ops.dense * 3) == 3 * 4 * inner * 5
    assert counts.ops.effective == counts.ops.dense


def test_a_contraction_to_one_number_has_one_output_channel():
    # torch makes it by multiplying and summing: its real weights are no binary ones for that
    weight = torch.tensor([[0.3], [-0.7], [0.0], [0.2]])
    counts = count(
        Call(lambda self, x: torch.tensordot(x, self.weight, dims=1), weight=weight),
        torch.tensor([[0.11, 9.0, 0.57, 9.0, 0.3, 9.0, 0.0, 9.0]])[:, ::2],
    )
    assert classes(counts) == {"mac": 2, "dense_mac": 4}
    assert counts.layers[0].weight_kind == "real"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_the_kind_does_not_depend_on_the_batches(dtype):
    x = torch.tensor([[0.7], [2.1]]).to(dtype)
    layer = nn.Linear(1, 1, bias=False).to(dtype)
    assert count(layer, x).ops == count(layer, [x[:1], x[1:]]).ops


def test_sixteen_bits_do_not_make_levels_of_anything():
    x = torch.linspace(1.0, 1.5, 64).bfloat16().unsqueeze(0)
    counts = count(nn.Linear(64, 2, bias=False).bfloat16(), x)
    assert counts.layers[0].input_kind == "real"
    weight = torch.linspace(1.0, 1.02, 64).bfloat16()
    assert (
        count(Call(lambda s, x: x @ s.w, w=weight.view(64, 1)), x).layers[0].weight_kind == "real"
    )


@pytest.mark.parametrize(
    "norm",
    [
        nn.InstanceNorm1d(3, affine=True),
        nn.BatchNorm1d(3, track_running_stats=False),
        nn.Sequential(nn.ReLU(), nn.BatchNorm1d(3)),
    ],
)
def test_a_norm_that_depends_on_the_data_does_not_fold(norm):
    counts = count(nn.Sequential(nn.Conv1d(2, 3, 3), norm), torch.randn(4, 2, 8))
    assert counts.layers[0].folded == ()
    assert any("norm" in name for name in counts.not_priced)


def test_a_norm_over_tokens_does_not_fold_into_a_linear_layer():
    counts = count(nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(5)), torch.randn(2, 5, 4))
    assert counts.layers[0].folded == ()


def test_a_weight_that_is_repeated_for_every_sample_is_one_weight():
    layer = nn.Linear(4, 5, bias=False).requires_grad_(False)
    counts = count(layer, torch.randn(4, 3, 2).transpose(0, 2))
    assert counts.layers[0].weights == counts.layers[0].nonzero_weights == 20


def test_a_weight_that_autocast_keeps_stays_a_weight():
    layer = nn.Linear(2, 3, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.5, -0.5]] * 3))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        counts = count(layer, [torch.ones(1, 2)] * 2)
    assert classes(counts) == {"binary": 12, "dense_binary": 12}
    assert len(counts.layers) == 1


@pytest.mark.parametrize("tokens", [3, 4])
def test_tokens_are_not_time(tokens):
    layer = nn.Linear(5, 2, bias=False)
    row = count(layer, torch.randn(2, tokens, 5), time_steps=4).layers[0]
    assert row.reused_steps == 4
    assert len(row.steps) == 1


def test_one_place_with_its_factors_in_two_roles():
    def both(self, x):
        return self.w @ x if self.flag else x @ self.w

    module = Call(both, w=torch.randn(4, 4))

    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = module

        def forward(self, x):
            module.flag = False
            first = self.inner(x)
            module.flag = True
            return first, self.inner(x)

    x = torch.ones(4, 4)
    assert classes(count(Two(), x)) == {"ac": 128, "dense_ac": 128}


def test_integers_of_their_smallest_value():
    x = torch.tensor([[-128, 64]], dtype=torch.int8)
    counts = count(Call(lambda s, x: x.float() @ s.w, w=torch.randn(2, 1)), x)
    assert classes(counts) == {"ac": 1, "graded": 1, "graded_accumulates": 2, "dense_graded": 2}


def test_a_weight_that_is_not_a_number():
    with pytest.raises(TracingError, match="linear: a weight is NaN or infinite"):
        count(_nan_layer(), torch.ones(1, 2))


def _nan_layer():
    layer = nn.Linear(2, 1)
    with torch.no_grad():
        layer.weight.fill_(float("nan"))
    return layer


def test_a_sparse_factor_is_counted_as_the_dense_one():
    sparse = Call(lambda s, x: x.to_sparse() @ s.w, w=torch.randn(2, 1))
    x = torch.tensor([[1.0, 0.0]])
    assert classes(count(sparse, x)) == {"ac": 1, "dense_ac": 2}


def test_complex_tensors_are_named():
    counts = count(Call(lambda s, x: x @ s.w, w=torch.randn(2, 1) + 0j), torch.ones(1, 2) + 1j)
    assert list(counts.uncounted) == ["aten.mm"]
    assert counts.coverage == 0


def test_a_fault_of_the_bookkeeping_is_not_blamed_on_the_model(monkeypatch):
    from dse.counting import observe

    def fail(*_):
        raise KeyError("ours")

    monkeypatch.setattr(observe.Observer, "see", fail)
    with pytest.raises(KeyError, match="ours"):
        count(nn.Linear(3, 2), torch.randn(1, 3))


def test_an_input_of_zeros_is_said_to_tell_nothing():
    counts = count(nn.Linear(3, 2), torch.zeros(1, 3))
    assert any("all inputs were zero" in text for text in counts.assumptions)


def test_a_constant_input_is_said_to_tell_nothing():
    counts = count(nn.Linear(3, 2), torch.full((1, 3), 0.5))
    assert any("all inputs were the same value" in text for text in counts.assumptions)
    assert count(nn.Linear(3, 2), torch.tensor([[0.5, 0.0, 0.5]])).assumptions == (
        "linear: spikes of height 0.5: the factor folds into the weight",
        "spikes flow, but no neurons were recognised: neuron updates are not counted",
    )


def test_a_layer_that_is_binary_only_by_definition_says_so():
    counts = count(nn.Conv2d(3, 3, 1, groups=3), torch.randn(2, 3, 4, 4))
    assert counts.layers[0].weight_kind == "binary"
    assert any("binary by definition" in text for text in counts.assumptions)
    counts = count(nn.Conv2d(3, 3, 3, groups=3), torch.randn(2, 3, 4, 4))
    assert counts.layers[0].weight_kind == "real"


def test_an_empty_batch_does_not_end_the_loader():
    layer = nn.Linear(3, 2)
    assert count(layer, [torch.randn(2, 3), torch.randn(0, 3), torch.randn(2, 3)]).samples == 4


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (torch.tensor(1.0), "the first input is shape"),
        ((None, torch.ones(1)), "the first input is NoneType"),
        ([{"x": torch.ones(1, 3)}], "a batch of the loader is dict"),
    ],
)
def test_data_that_cannot_be_a_batch(data, message):
    with pytest.raises(TracingError, match=message):
        count(nn.Linear(3, 2), data)


def test_a_thread_of_its_own_is_refused():
    from concurrent.futures import ThreadPoolExecutor

    class Threaded(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 2)

        def forward(self, x):
            with ThreadPoolExecutor(1) as pool:
                return pool.submit(self.layer, x).result()

    with pytest.raises(TracingError, match="layer runs in a thread of its own"):
        count(Threaded(), torch.randn(1, 3))


def test_containers_memory_and_random_numbers_are_put_back():
    class Keeps(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.tensor([[0.3, -0.7]]))
            self.register_buffer("expanded", torch.zeros(1).expand(3))
            self.sparse = torch.eye(2).to_sparse()
            self.recent = deque([1], maxlen=3)
            self.named = OrderedDict(a=torch.zeros(2))
            self.array = np.zeros(2)
            self.known = {1}
            self.loop = {}
            self.loop["self"] = self.loop

        def forward(self, x):
            self.weight.data = self.weight.data.sign()
            self.recent.append(2)
            self.named["a"] += 1
            self.named["b"] = x
            self.array += np.random.rand(2)  # noqa: NPY002
            self.known.add(2)
            return F.linear(x, self.weight)

    model = Keeps()
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    counts = count(model, torch.ones(1, 2))
    assert counts.ops.binary == 2
    assert torch.equal(model.weight, torch.tensor([[0.3, -0.7]]))
    assert list(model.recent) == [1]
    assert list(model.named) == ["a"]
    assert torch.equal(model.named["a"], torch.zeros(2))
    assert model.array.tolist() == [0, 0]
    assert model.known == {1}
    assert np.array_equal(np.random.get_state()[1], state)  # noqa: NPY002
