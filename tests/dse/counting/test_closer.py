"""A closer look: magnitudes, what ones would meet, single calls and modules, where asked for."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from brute_force import convolution as brute_force
from torch import nn

from dse.counting import kernel
from dse.counting.closer import reached_by_input, reached_by_weight
from dse.counting.count import Counter, count
from dse.counting.rules import convolution
from dse.errors import TracingError
from energy_models import ModelCounts


def layer_of(counts, name):
    [layer] = [layer for layer in counts.layers if layer.name == name]
    return layer


def module_of(counts, name):
    [module] = [module for module in counts.modules if module.name == name]
    return module


def two_calls():
    """A layer of two weights that are not zero, called twice."""

    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 2, bias=False)
            self.layer.weight.data = torch.tensor([[1.5, 0.0, 0.0], [0.0, 2.5, 0.0]])

        def forward(self, x):
            return self.layer(x[:, :3]) + self.layer(x[:, 3:])

    return Twice()


X = torch.tensor([[0.0, 1.0, 0.0, -3.0, 0.5, 0.0], [1.0, 0.0, 1.0, 0.0, 0.0, 0.25]])


def test_without_being_asked_for_it_nobody_looks():
    counts = count(two_calls(), X)
    [layer] = counts.layers
    assert (counts.modules, counts.batches, layer.call_operands) == ((), 1, ())
    assert (layer.operands[0].magnitude, layer.operands[0].reached) == (None, None)


def test_operands_of_a_layer_and_of_its_calls():
    [layer] = count(two_calls(), X, conventions=True).layers
    [both] = layer.operands
    # 1 + 3 + 0.5 in the first sample, 1 + 1 + 0.25 in the second: 6.75 of 2 samples
    assert both.magnitude == 3.375
    # 6 non-zero inputs, 2 outputs each, whatever the weights: 12 of 2 samples
    assert both.reached == 6
    assert layer.ops.effective == 2  # 0 or 1 weights: 1 and 2 in the first, 1 and 0 in the second
    [[first], [second]] = layer.call_operands
    assert (first.kind, first.levels, first.nonzero, first.elements) == ("unit", (1.0,), 1.5, 3)
    assert (first.magnitude, first.reached) == (1.5, 3)
    assert (second.kind, second.is_signed, second.nonzero) == ("real", True, 1.5)
    assert (second.magnitude, second.reached) == (1.875, 3)
    assert len(layer.calls) == 2


def test_several_batches_are_added_up_and_their_calls_not_told_apart():
    whole, parts = (count(two_calls(), data, conventions=True) for data in (X, [X[:1], X[1:]]))
    assert (whole.batches, parts.batches) == (1, 2)
    assert layer_of(parts, "layer").operands == layer_of(whole, "layer").operands
    assert layer_of(parts, "layer").call_operands == ()
    assert parts.modules == whole.modules


@pytest.mark.parametrize("has_kernel", [True, False])
def test_nothing_else_of_the_counts_changes(has_kernel, monkeypatch):
    if not has_kernel:  # then a look is made of operators, which are not the model's
        monkeypatch.setattr(kernel, "_library", None)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2))
    batches = list(torch.rand(6, 2, 8, 8).split(2))  # the second and third are planned
    plain, closer = count(model, batches).to_dict(), count(model, batches, conventions=True)
    assert ModelCounts.from_dict(closer.to_dict()) == closer
    found = closer.to_dict()
    for row, other in zip(plain["layers"], found["layers"], strict=True):
        for operand, looked in zip(row["operands"], other["operands"], strict=True):
            assert looked["magnitude"] > 0 and looked["reached"] > 0
            looked["magnitude"] = looked["reached"] = operand["magnitude"]
    assert found | {"modules": []} == plain


def test_two_activations_each_against_ones():
    class Scores(nn.Module):
        def forward(self, x):
            return x @ x.transpose(-1, -2)

    # (1, 2, 3) by (1, 3, 2): 4 values, 2 columns (and 2 rows) each
    x = torch.tensor([[[1.0, 0.0, 2.0], [0.0, -3.0, 4.0]]])
    [layer] = count(Scores(), x, conventions=True).layers
    assert [one.reached for one in layer.operands] == [8, 8]
    assert [one.magnitude for one in layer.operands] == [10, 10]
    [call] = layer.call_operands
    assert call == layer.operands
    assert layer.ops.effective == 6  # by columns: 1 x 1, 1 x 1, 2 x 2


def test_a_weight_on_the_left():
    class Left(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(5, 3))

        def forward(self, x):
            return self.weight @ x.t()

    [layer] = count(Left(), torch.tensor([[0.0, 2.0, 3.0]]), conventions=True).layers
    [operand] = layer.operands
    assert (operand.magnitude, operand.reached) == (5, 10)  # 2 values, 5 rows each


@pytest.mark.parametrize("is_transposed", [False, True])
@pytest.mark.parametrize("dimensions", [1, 2])
def test_convolutions_against_brute_force(is_transposed, dimensions):
    settings = itertools.product((1, 2), (0, 1), (1, 2), (1, 2))
    torch.manual_seed(0)
    for stride, padding, dilation, groups in settings:
        x = torch.randn(2, 4, *[7] * dimensions) * (torch.rand(2, 4, *[7] * dimensions) < 0.4)
        channels = (4, 6 // groups) if is_transposed else (6, 4 // groups)
        weight = torch.randn(*channels, *[3] * dimensions)
        weight *= torch.rand_like(weight) < 0.5
        sizes = [[one] * dimensions for one in (stride, padding, dilation)]
        arguments = (*sizes, is_transposed, [0] * dimensions, groups)
        output = torch.ops.aten.convolution(x, weight, None, *arguments)
        product = convolution(x, weight, None, *arguments, output=output)
        rest = (tuple(output.shape[2:]), *sizes, groups, is_transposed)
        assert int(reached_by_input(product)) == brute_force(x, torch.ones_like(weight), *rest)
        assert int(reached_by_weight(product)) == brute_force(torch.ones_like(x), weight, *rest)


def test_a_convolution_with_a_weight_that_is_data():
    class Dynamic(nn.Module):
        def forward(self, x, weight):
            return F.conv1d(x, weight)

    x = torch.tensor([[[1.0, 0.0, 1.0, 1.0]]])
    weight = torch.tensor([[[0.5, 0.0]]])
    [layer] = count(Dynamic(), (x, weight), conventions=True).layers
    # taps meet 3 places: the ends reach one tap, the middle two: 1 + 2 + 1; one weight: 3 places
    assert [one.reached for one in layer.operands] == [4, 3]
    assert [one.magnitude for one in layer.operands] == [3, 0.5]


def test_modules_by_name_and_class_with_what_entered_norms_and_pools():
    class Norm(nn.BatchNorm2d):
        pass

    shared = nn.ReLU()
    model = nn.Sequential(
        nn.BatchNorm2d(2), nn.MaxPool2d(2), shared, nn.Conv2d(2, 3, 1), shared, Norm(3)
    )
    x = torch.zeros(2, 2, 4, 4)
    x[0, 0, 0, 0] = 1
    counts = count(model, x, conventions=True)
    assert [one.name for one in counts.modules] == ["0", "1", "2", "3", "5", ""]
    assert module_of(counts, "").classes == ("torch.nn.modules.container.Sequential",)
    norm, pool = module_of(counts, "0"), module_of(counts, "1")
    assert norm.has_weight and not pool.has_weight
    [entered] = norm.inputs
    assert (entered.levels, entered.elements, entered.magnitude) == ((1.0,), 32, None)
    assert (pool.elements_in, pool.elements_out, len(pool.inputs)) == (32, 8, 1)
    # the activation ran twice: 2 x 2 x 2 and 3 x 2 x 2 values
    assert (module_of(counts, "2").elements_in, module_of(counts, "2").inputs) == (20, ())
    assert module_of(counts, "5").classes[0].endswith("Norm")
    assert module_of(counts, "5").classes[1] == "torch.nn.modules.batchnorm.BatchNorm2d"
    assert module_of(counts, "5").inputs == ()  # a class of its own, of which nobody asks


def test_keywords_tuples_and_modules_of_somebody_else():
    class Part(nn.Module):
        def forward(self, *, given):
            return {"sum": given.sum(1, keepdim=True), "rest": None}

    class Whole(nn.Module):
        def __init__(self):
            super().__init__()
            self.part, self.last = Part(), nn.Linear(1, 2)

        def forward(self, x):
            return self.last(nn.Identity()(self.part(given=x)["sum"]))

    counts = count(Whole(), torch.rand(3, 5), conventions=True)
    assert [one.name for one in counts.modules] == ["part", "last", ""]
    assert (counts.modules[0].elements_in, counts.modules[0].elements_out) == (5, 1)


def test_an_infinite_value_that_is_only_pooled_is_not_refused():
    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.pool, self.last = nn.MaxPool1d(2), nn.Linear(2, 2)

        def forward(self, x):
            return self.last(self.pool(x.masked_fill(x == 0, -torch.inf)))

    counts = count(Masked(), torch.tensor([[[1.0, 0.0, 0.0, 2.0]]]), conventions=True)
    assert module_of(counts, "pool").inputs == ()
    assert module_of(counts, "pool").elements_in == 4


def test_a_pass_that_fails_leaves_nothing():
    class Fails(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 2)

        def forward(self, x):
            x = self.layer(x)
            if len(x) > 1:
                raise ValueError("too many")
            return x

    with Counter(Fails(), conventions=True) as counter:
        counter(torch.ones(1, 2))
        with pytest.raises(TracingError, match="too many"):
            counter(torch.ones(3, 2))
        counter(torch.ones(1, 2))
    counts = counter.counts()
    assert (counts.samples, counts.batches) == (2, 2)
    assert module_of(counts, "layer").elements_in == 2
    assert layer_of(counts, "layer").operands[0].magnitude == 2


def test_who_made_the_products():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.vector = nn.Linear(4, 4), nn.Parameter(torch.ones(4))

        def forward(self, x):
            x = self.layer(x)
            return F.scaled_dot_product_attention(x, x, x)[0, 0] @ self.vector

    counts = count(Mixed(), torch.rand(1, 1, 3, 4))
    made_by = {layer.name: layer.made_by for layer in counts.layers}
    fused = "_scaled_dot_product_flash_attention_for_cpu"
    assert made_by == {
        "layer": "addmm",
        "/matmul#0": fused,
        "/matmul#1": fused,
        "/linear#0": "mv",
    }
