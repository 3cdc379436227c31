"""Networks of several widths in one set of weights."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from dse.architectures import positions as architectures
from dse.counting.count import count
from dse.design import Design
from dse.errors import BuildFailure
from dse.networks.slimmable import Slimmable
from dse.training.loop import train
from dse.training.settings import TrainingSettings
from dse.variants import family
from energy_models import ModelCounts, estimate, load_profile

WIDTHS = (0.1, 0.2, 0.3, 0.4, 0.5)
SHAPE = (1, 8, 8)
LEARNED = {"learned": "both", "leak": 0.7, "time_steps": 2}
Norm = nn.BatchNorm1d | nn.BatchNorm2d


def maker(variant: str, architecture: str = "lenet", **knobs) -> Callable[[float], nn.Module]:
    def make(width: float) -> nn.Module:
        design = Design.of(variant, architecture, {"width": width, **knobs})
        return family.load(variant).build(design, SHAPE, 4)

    return make


def batch(samples: int = 12) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(samples, *SHAPE, generator=generator)
    return images, torch.randint(0, 4, (samples,), generator=generator)


def slimmable(variant: str = "ann", architecture: str = "lenet", **knobs) -> Slimmable:
    torch.manual_seed(0)
    return Slimmable(maker(variant, architecture, **knobs), WIDTHS, between=len(WIDTHS))


def own(net: nn.Module) -> set[str]:
    """Names of the parameters of norms."""
    return {
        f"{place}.{name}"
        for place, module in net.named_modules()
        if isinstance(module, Norm)
        for name, _ in module.named_parameters()
    }


def leading(tensor: Tensor, shape: torch.Size) -> Tensor:
    return tensor[tuple(slice(size) for size in shape)]


def price(counts: ModelCounts) -> float:
    return estimate(counts, load_profile("cmos45-fp32")).total_pj


def assert_summed_gradients(shared: Slimmable) -> None:
    """The gradients of the separate networks, each on its slice, make that of the mean loss."""
    images, labels = batch()
    nets = [shared.sub_network(width).train() for width in WIDTHS]
    loss = shared.train().training_loss(images, labels, 0.1)
    loss.backward()
    sums = {name: torch.zeros_like(p) for name, p in shared.largest.named_parameters()}
    losses = []
    for net in nets:
        one = net.training_loss(images, labels, 0.1)
        one.backward()
        losses.append(one.detach())
        for name, parameter in net.named_parameters():
            if net is nets[-1] or name not in own(net):
                leading(sums[name], parameter.shape).add_(parameter.grad / len(nets))
    assert torch.allclose(loss, torch.stack(losses).mean())
    for name, parameter in shared.largest.named_parameters():
        assert torch.allclose(parameter.grad, sums[name], rtol=1e-4, atol=1e-7), name
    for net, norms in zip(nets, shared.norms, strict=False):
        theirs = [module for module in net.modules() if isinstance(module, Norm)]
        assert len(theirs) == len(norms) > 0
        for alone, together in zip(theirs, norms, strict=True):
            assert torch.allclose(alone.weight.grad / len(nets), together.weight.grad, rtol=1e-4)
            assert torch.equal(alone.running_mean, together.running_mean)


@pytest.mark.parametrize(
    ("variant", "knobs"),
    [
        ("ann", {}),
        ("qann", {"weight_bits": 4, "activation_bits": 4}),
        ("bnn", {}),
        ("snn", LEARNED),
        ("snn", {"norm": "threshold", "output": "every-step", "rate_penalty": 0.1}),
        ("s2nn", {}),
    ],
)
def test_the_gradient_is_the_sum_of_those_of_the_separate_networks(variant, knobs) -> None:
    shared = slimmable(variant, **knobs)
    if variant == "qann":  # its first batch sets the steps
        shared.train().training_loss(*batch(), 0.0)
    assert_summed_gradients(shared)


@pytest.mark.parametrize("architecture", architectures.names())
def test_every_architecture_can_be_sliced(architecture: str) -> None:
    torch.manual_seed(0)
    shared = Slimmable(maker("snn", architecture, time_steps=2), (0.07, 0.14))
    shared.train().training_loss(*batch(4), 0.0).backward()
    assert all(p.grad is not None for p in shared.parameters())
    small = shared.sub_network(0.07)
    state = shared.largest.state_dict()
    for name, parameter in small.named_parameters():
        if name not in own(small):
            assert torch.equal(parameter, leading(state[name], parameter.shape)), name


def test_the_first_channels_of_maps_are_the_first_inputs_of_a_linear_layer() -> None:
    shared = slimmable().eval()
    small, large = shared.sub_network(0.1), shared.sub_network(0.5)
    assert torch.equal(small(batch()[0]), small(batch()[0]))
    channels = small.layers[1].synapse.out_channels
    # a large network whose other channels are silent, with the norms of the small one
    with torch.no_grad():
        for mine, theirs in zip(small.layers, large.layers, strict=True):
            few = len(mine.norm.weight)
            theirs.norm.weight.zero_()
            theirs.norm.weight[:few] = mine.norm.weight
    assert channels < large.layers[1].synapse.out_channels
    assert torch.allclose(small(batch()[0]), large(batch()[0]), atol=1e-6)


def test_each_width_has_its_own_norms_and_nothing_else_of_its_own() -> None:
    shared = slimmable()
    largest = list(shared.largest.modules())
    narrow = [module for module in shared.modules() if module not in largest]
    assert {type(m) for m in narrow} == {
        Slimmable,
        nn.ModuleList,
        nn.BatchNorm1d,
        nn.BatchNorm2d,
    }
    shared.train().training_loss(*batch(), 0.0)
    means = [shared.sub_network(width).layers[0].norm.running_mean for width in WIDTHS]
    # the first layer sees the same data through the same weights at every width
    assert all(torch.allclose(mean, means[-1][: len(mean)], atol=1e-6) for mean in means)
    second = [shared.sub_network(width).layers[1].norm.running_mean for width in WIDTHS]
    assert not torch.allclose(second[0], second[-1][: len(second[0])], atol=1e-4)


def test_the_largest_starts_as_it_would_alone_and_the_generator_stands_as_after_it() -> None:
    shared, drawn = slimmable(), torch.rand(1)
    torch.manual_seed(0)
    alone, drawn_alone = maker("ann")(WIDTHS[-1]), torch.rand(1)
    assert torch.equal(drawn, drawn_alone)
    state = shared.largest.state_dict()
    assert all(torch.equal(state[name], t) for name, t in alone.state_dict().items())


def test_a_step_trains_the_largest_the_smallest_and_some_in_between() -> None:
    torch.manual_seed(0)
    shared = Slimmable(maker("ann"), WIDTHS, between=1).train()
    seen = []
    for _ in range(30):
        shared.zero_grad()
        shared.training_loss(*batch(), 0.0).backward()
        seen.append(tuple(n[0].weight.grad is not None for n in shared.norms))
    assert set(seen) == {
        (True, True, False, False),
        (True, False, True, False),
        (True, False, False, True),
    }


def test_a_sub_network_counts_as_a_plain_network_with_its_weights() -> None:
    shared = slimmable("snn", time_steps=2)
    for _ in range(10):
        shared.train().training_loss(*batch(), 0.0)
    plain = maker("snn", time_steps=2)(0.2)
    plain.load_state_dict(shared.sub_network(0.2).state_dict())
    images = batch()[0]
    counts = count(shared.sub_network(0.2), images)
    assert counts == count(plain, images)
    assert 0 < price(counts) < price(count(shared.sub_network(0.5), images))


def test_widths_of_one_network_are_refused() -> None:
    with pytest.raises(BuildFailure, match=r"widths 0.1 and 0.101 are one network: leave one out"):
        Slimmable(maker("ann", "mlp"), (0.1, 0.101, 1.0))


def test_networks_that_are_no_parts_of_the_largest_are_refused_by_name() -> None:
    with pytest.raises(BuildFailure, match=r"width 1 beside 2: weight: \(5, 3\) is no leading"):
        Slimmable(lambda width: nn.Linear(3, 4 if width > 1 else 5), (1, 2))
    with pytest.raises(BuildFailure, match=r"width 1 beside 2: only one of them has bias"):
        Slimmable(lambda width: nn.Linear(3, int(width), bias=width > 1), (1, 2))


def course(path: Path | None, stop_after: int = 0) -> dict[str, Tensor]:
    """The weights after a training of three epochs, or one that was stopped and is gone on with."""
    torch.manual_seed(0)
    shared = Slimmable(maker("bnn", "mlp"), WIDTHS, between=1)
    settings = TrainingSettings(
        epochs=3,
        batch_size=8,
        learning_rate=0.01,
        weight_decay=0.01,
        label_smoothing=0.1,
        grad_clip=1.0,
        mixup=0.2,
    )
    data = batch(16)
    for result in train(shared, *data, *data, settings, seed=3, checkpoint=path):
        if result.epoch == stop_after:
            break
    return shared.state_dict()


def test_a_training_of_all_widths_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    whole = course(None)
    course(tmp_path / "checkpoint", stop_after=1)
    again = course(tmp_path / "checkpoint")
    assert whole.keys() == again.keys()
    assert all(torch.equal(whole[name], again[name]) for name in whole)
