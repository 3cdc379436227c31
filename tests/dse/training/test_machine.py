"""Settings of the machine: exact enough, restored, and never a reason to fail."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch
from torch import nn

from dse.training import machine


def precision() -> str | None:
    matmul = machine._matmul()
    return None if matmul is None else matmul.fp32_precision


@pytest.fixture
def measured_anew() -> Iterator[None]:
    machine._is_onednn_better.cache_clear()
    yield
    machine._is_onednn_better.cache_clear()


LARGE, SMALL = nn.Sequential(nn.Linear(256, 256)), nn.Linear(10, 10)


def test_products_inside_are_of_float32() -> None:
    print("seed 0")
    generator = torch.Generator().manual_seed(0)
    for rows, inner, columns in ((1, 64, 10), (33, 784, 512), (64, 512, 100)):
        left = torch.randn(rows, inner, generator=generator)
        right = torch.randn(inner, columns, generator=generator)
        with machine.fast(LARGE):
            found = left @ right
        exact = left.double() @ right.double()
        assert (found - exact).abs().max() / exact.abs().max() < 3e-6


@pytest.mark.usefixtures("measured_anew")
def test_what_was_set_comes_back_also_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_is_onednn_better", lambda: machine._matmul() is not None)
    before = precision()
    for model in (LARGE, SMALL):
        with pytest.raises(ZeroDivisionError), machine.fast(model):
            assert precision() == ("bf16" if machine.route(model) == "onednn" else before)
            raise ZeroDivisionError
        assert precision() == before
    assert machine.route(SMALL) == "default"


@pytest.mark.usefixtures("measured_anew")
@pytest.mark.parametrize(
    ("place", "name", "value"),
    [
        (torch.cpu, "_is_amx_tile_supported", lambda: True),
        (machine, "_FLOAT32_ERROR", 0.0),
        (machine, "_TIMES_FASTER", 1e9),
        (machine, "_matmul", lambda: None),  # an older PyTorch, or another processor
    ],
)
def test_where_it_would_round_or_is_no_faster_all_stays(
    monkeypatch: pytest.MonkeyPatch, place: object, name: str, value: object
) -> None:
    before = precision()
    monkeypatch.setattr(place, name, value)
    assert machine.route(LARGE) == "default"
    with machine.fast(LARGE):
        monkeypatch.undo()
        assert precision() == before


@pytest.mark.usefixtures("measured_anew")
def test_where_it_is_exact_and_faster_it_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    if machine._matmul() is None:
        pytest.skip("this PyTorch has no choice")
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    monkeypatch.setattr(machine, "_FLOAT32_ERROR", 1.0)
    monkeypatch.setattr(machine, "_TIMES_FASTER", 0.0)
    assert machine.route(LARGE) == "onednn"


@pytest.mark.parametrize("is_wanted", [True, False])
def test_deterministic_kernels_are_wanted_inside_only(is_wanted: bool) -> None:
    assert not torch.are_deterministic_algorithms_enabled()
    with machine.deterministic(torch.device("cpu"), is_wanted):
        assert torch.are_deterministic_algorithms_enabled() == is_wanted
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.slow
def test_memory_is_kept_once_a_process_and_the_user_has_the_last_word() -> None:
    code = (
        "import os; from dse.training.machine import keep_memory\n"
        "print(keep_memory(), keep_memory())\n"
    )
    for own, expected in (({}, ("True True", "False False")), ({"MALLOC_TOP_PAD_": "1"}, ())):
        found = subprocess.run(
            [sys.executable, "-c", code],
            env={"PATH": "", "PYTHONPATH": ":".join(sys.path), **own},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        assert found in (expected or ("False False",))
