"""The counts of fewer steps, cut from those of more, are those of a network that runs fewer."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch
from torch import nn

from dse.counting.count import count
from dse.design import Design
from dse.variants import family
from energy_models import ModelCounts
from energy_models.errors import CountsError
from energy_models.truncation import truncated

STEPS = 4
VARIATIONS = (
    {},
    {"encoding": "binary"},
    {"norm": "threshold", "threshold": 0.5},
    {"pool": "currents"},
    {"reset": "hard", "leak": 1.0},
    {"leak": 0.5, "input_scale": "1 - leak", "learned": "both"},
    {"initial_potential": 0.3},
    {"output": "mean-spikes"},
    {"output": "every-step"},
    {"shortcut": "and"},
    {"shortcut": "add"},
    {"width": 0.05, "threshold": 4.0},
)


def network(architecture: str, knobs: Mapping[str, object]) -> tuple[nn.Module, torch.Tensor]:
    torch.manual_seed(0)
    design = Design.of("snn", architecture, {"width": 0.2, "time_steps": STEPS, **knobs})
    images = torch.rand(6, 1, 8, 8) * (torch.rand(6, 1, 8, 8) > 0.3)
    model = family.load("snn").build(design, (1, 8, 8), 10)
    for _ in range(5):
        model.train()(images)
    return model, images


@pytest.mark.parametrize("knobs", VARIATIONS, ids=str)
@pytest.mark.parametrize("architecture", ["mlp", "convnet", "resnet20"])
def test_counts_of_fewer_steps_are_those_of_a_direct_count_or_refused(
    architecture: str, knobs: dict[str, object]
) -> None:
    model, images = network(architecture, {**knobs, "depth": 1})
    whole = count(model, images)
    for steps in range(1, STEPS):
        model.time_steps = steps
        direct = replace(count(model, images), spread={})
        try:
            found = truncated(whole, steps)
        except CountsError:
            assert architecture == "resnet20"  # its readout reads averages of spikes
            continue
        assert found.to_dict() == direct.to_dict()
        assert ModelCounts.from_dict(found.to_dict()) == found


@pytest.mark.parametrize("architecture", ["mlp", "convnet"])
def test_plain_networks_are_cut_at_every_step_at_which_something_spikes(architecture: str) -> None:
    model, images = network(architecture, {"threshold": 0.1})
    whole = count(model, images)
    assert [truncated(whole, steps).time_steps for steps in (1, 2, 3, 4)] == [1, 2, 3, 4]
    assert truncated(whole, STEPS) is whole


def test_what_a_document_does_not_tell_is_refused_by_name() -> None:
    model, images = network("mlp", {})
    whole = count(model, images)
    for wrong, text in (
        (replace(whole, time_steps_from="repeated calls"), "must be declared"),
        (replace(whole, modules=(object(),)), "no layer shows its time"),  # type: ignore[arg-type]
    ):
        assert text in str(refusal(wrong, 2))
    assert "must be between 1 and 4" in str(refusal(whole, 5))


def refusal(counts: ModelCounts, steps: int) -> CountsError:
    with pytest.raises(CountsError) as caught:
        truncated(counts, steps)
    return caught.value
