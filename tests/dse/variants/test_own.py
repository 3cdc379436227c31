"""Own: a model of the user's own is built with its knobs, and blamed with its line."""

from pathlib import Path

import pytest
import torch
from torch import nn

from dse.design import Design, KnobValue
from dse.errors import BuildFailure, DataError
from dse.variants import family
from dse.variants.own import blamed

CODE = """\
import torch
from torch import nn


def build(hidden, classes, input_shape, norm=False):
    size = input_shape[0] * input_shape[1] * input_shape[2]
    between = nn.BatchNorm1d(hidden) if norm else nn.Identity()
    return nn.Sequential(nn.Flatten(), nn.Linear(size, hidden), between, nn.Linear(hidden, classes))


def lazy(**knobs):
    assert set(knobs) == {"hidden"}, knobs
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(3))


def hurried(learning_rate):
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 3 if learning_rate == 0.01 else 4))


def raises(hidden):
    raise ValueError(f"no network of {hidden}")


class Net(nn.Module):
    time_steps = 2

    def __init__(self, hidden):
        super().__init__()
        self.inner = nn.Linear(hidden, 3)

    def forward(self, images):
        return self.inner(images.flatten(1))


def wrong_logits(hidden):
    return nn.Flatten()


def nothing(hidden):
    return hidden


def timeless(hidden):
    model = lazy(hidden=hidden)
    model.time_steps = 0
    return model
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "net.py"
    path.write_text(CODE)
    return path


def build(file: Path, function: str, **knobs: KnobValue) -> nn.Module:
    design = Design.of("own", f"{file}:{function}", {"learning_rate": 0.01, **knobs})
    return family.load("own").build(design, (1, 4, 4), 3)


def test_it_is_called_with_its_knobs_and_what_it_asks_for(file: Path) -> None:
    model = build(file, "build", hidden=5, norm=True)
    assert isinstance(model[2], nn.BatchNorm1d)
    assert model(torch.zeros(7, 1, 4, 4)).shape == (7, 3)
    assert build(file, "hurried")[1].out_features == 3


def test_it_comes_untouched_but_with_the_shapes_of_lazy_layers(file: Path) -> None:
    torch.manual_seed(0)
    model = build(file, "build", hidden=5, norm=True)
    after = torch.rand(1)
    assert all(module.training for module in model.modules())
    assert model[2].num_batches_tracked == 0
    torch.manual_seed(0)
    nn.Linear(16, 5), nn.Linear(5, 3)
    assert torch.rand(1) == after
    assert build(file, "lazy", hidden=3)[1].weight.shape == (3, 16)


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        ("raises", r"net\.py:21: ValueError: no network of 3"),
        ("Net", r"net\.py:32: RuntimeError: mat1 and mat2 shapes cannot be multiplied"),
        ("wrong_logits", r"gave \(2, 16\) for a batch of \(2, 1, 4, 4\); it must give logits \(2"),
        ("nothing", r"returned int; it must return a torch\.nn\.Module"),
        ("timeless", r"its time_steps is 0; it must be a number from 1"),
        ("hurried", r"net\.py:hurried: takes no hidden"),
    ],
)
def test_what_goes_wrong_in_it_is_a_failed_design(file: Path, function: str, problem: str) -> None:
    with pytest.raises(BuildFailure, match=problem):
        build(file, function, hidden=3)


def test_only_the_users_own_code_is_blamed(file: Path) -> None:
    ours, theirs = Design.of("ann", "mlp", {}), Design.of("own", f"{file}:build", {})
    with pytest.raises(ValueError, match="a bug"), blamed(ours):
        raise ValueError("a bug")
    with pytest.raises(BuildFailure, match=r"net\.py: ValueError: a bug"), blamed(theirs):
        raise ValueError("a bug")
    with pytest.raises(DataError), blamed(theirs):
        raise DataError("what we say ourselves stays what it is")


def test_it_is_no_name_of_a_sweep() -> None:
    assert "own" not in family.names()
