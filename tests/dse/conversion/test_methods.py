"""Every method gives a network, by itself or with lessons, and leaves the source alone."""

import copy
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from dse.conversion.convert import Lessons, adjusted, convert
from dse.conversion.methods import METHODS
from dse.errors import ConversionFailure
from dse.networks.source import SourceNetwork


def _same(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(
        torch.equal(value, second[name]) for name, value in first.items()
    )


@pytest.mark.parametrize("name", METHODS)
def test_a_method_leaves_the_source_as_it_is_and_repeats_itself(
    name: str, quantised_source: SourceNetwork, images: Tensor, lessons: Lessons
) -> None:
    model = copy.deepcopy(quantised_source).train()
    model.zero_grad()
    before = copy.deepcopy(model.state_dict())
    state = torch.get_rng_state()
    first = convert(model, images, METHODS[name], 2, lessons=lessons).network
    assert _same(model.state_dict(), before)
    assert all(module.training for module in model.modules())
    assert all(one.grad is None for one in model.parameters())
    assert torch.equal(torch.get_rng_state(), state)
    second = convert(model, images, METHODS[name], 2, lessons=lessons).network
    assert _same(first.state_dict(), second.state_dict())
    assert bool(first(images).isfinite().all())


@pytest.mark.parametrize("name", [name for name, one in METHODS.items() if one.tuning != "none"])
def test_another_seed_teaches_another_network(
    name: str, source: SourceNetwork, images: Tensor, lessons: Lessons
) -> None:
    other = Lessons(lessons.images, lessons.labels, 50, 0.02, lessons.seed + 1)
    first, second = (
        convert(source, images, METHODS[name], 2, lessons=one).network for one in (lessons, other)
    )
    assert not _same(first.state_dict(), second.state_dict())


@pytest.mark.parametrize("name", ["dual-phase", "hybrid", "distribution-aware"])
def test_a_method_that_trains_is_refused_without_training_data(
    name: str, source: SourceNetwork, images: Tensor
) -> None:
    with pytest.raises(ConversionFailure, match=f"method {name}: needs training data"):
        convert(source, images, METHODS[name], 2)


def test_a_kind_of_part_that_nobody_made_is_refused() -> None:
    with pytest.raises(ConversionFailure, match=r'threshold "bond": .* Did you mean "bound"\?'):
        adjusted(METHODS["opi"], threshold="bond")
    with pytest.raises(ConversionFailure, match='tuning "dream": must be one of none, surrogate'):
        adjusted(METHODS["opi"], tuning="dream")


def test_thresholds_of_spike_norm_do_not_depend_on_the_steps_it_is_read_at(
    source: SourceNetwork, images: Tensor
) -> None:
    few, many = (convert(source, images, METHODS["spike-norm"], steps) for steps in (1, 16))
    assert [one.threshold_low for one in few.layers] == [one.threshold_low for one in many.layers]
    assert not METHODS["spike-norm"].depends_on_time_steps


def test_the_model_based_threshold_is_what_all_excitatory_inputs_give_at_once() -> None:
    first, second = nn.Linear(3, 2), nn.Linear(2, 2)
    with torch.no_grad():
        first.weight.copy_(torch.tensor([[1.0, -2.0, 0.5], [0.25, 0.25, 0.0]]))
        first.bias.copy_(torch.tensor([0.5, -1.0]))
        second.weight.copy_(torch.tensor([[1.0, 3.0], [-1.0, 0.5]]))
        second.bias.zero_()
    model = nn.Sequential(nn.Flatten(), first, nn.ReLU(), second, nn.ReLU(), nn.Linear(2, 2))
    method = adjusted(METHODS["normalise-percentile"], threshold="model-based")
    images = torch.rand(8, 3, 1, 1, generator=torch.Generator().manual_seed(1))
    found = convert(model, images, method, 4)
    # 1 + 0.5 + bias 0.5 = 2; a spike of it is worth 2: (1 + 3) x 2 = 8
    assert [layer.threshold_high for layer in found.layers] == [2.0, 8.0]
    with pytest.raises(ConversionFailure, match=r"model-based: .* not in \[0, 1\]"):
        convert(model, images * 2, method, 4)


OTHERS = {
    "coding": adjusted(METHODS["opi"], coding="rate-compensated"),
    "late": adjusted(METHODS["opi"], coding="rate-compensated-late"),
    "rate": adjusted(METHODS["opi"], coding="rate"),
    "least error": adjusted(METHODS["opi"], threshold="mmse"),
    "distribution": adjusted(METHODS["opi"], threshold="distribution"),
    "residual": adjusted(METHODS["opi"], initial="mean-residual"),
    "tuned": adjusted(METHODS["opi"], tuning="surrogate", tuning_epochs=1),
    "noisy": adjusted(METHODS["opi"], noisy_epochs=1),
}


@pytest.mark.parametrize("name", [*METHODS, *OTHERS])
def test_what_does_not_depend_on_t_is_the_start_of_a_longer_network(
    name: str, quantised_source: SourceNetwork, images: Tensor, lessons: Lessons
) -> None:
    method = OTHERS.get(name) or METHODS[name]
    few, many = (
        convert(quantised_source, images[:64], method, steps, lessons=lessons).network
        for steps in (2, 5)
    )
    with torch.no_grad():
        start, whole = few.logits_by_step(images[:20]), many.logits_by_step(images[:20])
    assert torch.equal(start, whole[:2]) == (not method.depends_on_time_steps)
