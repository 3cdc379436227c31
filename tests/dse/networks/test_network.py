import pytest
import torch
from torch import Tensor, nn

from dse.architectures import positions as architectures
from dse.architectures.positions import Position
from dse.errors import BuildFailure
from dse.networks.network import Network, real_synapse


class Accumulate(nn.Module):
    """A neuron whose output depends on all steps so far: the running sum."""

    def forward(self, currents: Tensor) -> Tensor:
        return torch.relu(currents).cumsum(0)


def network(name: str, shape: tuple[int, ...], *, time_steps: int, pool_first: bool) -> Network:
    torch.manual_seed(0)
    places = architectures.load(name)(shape, 10, 0.5, 3)
    built = Network(
        places,
        make_synapse=real_synapse,
        make_neuron=lambda place: Accumulate(),
        time_steps=time_steps,
        pool_first=pool_first,
    )
    for layer in built.layers:  # statistics that are not those of a new batch-norm
        layer.norm.running_mean.uniform_(-0.5, 0.5)
        layer.norm.running_var.uniform_(0.5, 2.0)
    return built.eval()


def step_by_step(built: Network, images: Tensor) -> Tensor:
    """The same network, first layer included, one time step after another, nothing folded."""
    sums: dict[nn.Module, Tensor] = {}
    logits = []
    for _ in range(built.time_steps):
        values = images
        for layer in built.layers:
            current = layer.synapse(values.flatten(1) if layer.inflow.place.flatten else values)
            if layer.pool is not None and layer.pool_first:
                current = layer.pool(current)
            current = torch.relu(layer.norm(current))
            sums[layer] = sums.get(layer, torch.zeros_like(current)) + current
            values = sums[layer]
            if layer.pool is not None and not layer.pool_first:
                values = layer.pool(values)
        readout = built.readout
        logits.append(
            readout.synapse(values.flatten(1) if readout.inflow.place.flatten else values)
        )
    return torch.stack(logits).mean(0)


@pytest.mark.parametrize("name", ["convnet", "mlp"])
@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32)])
@pytest.mark.parametrize("time_steps", [1, 3])
@pytest.mark.parametrize("pool_first", [False, True])
def test_folded_time_is_a_loop_over_the_steps(
    name: str, shape: tuple[int, ...], time_steps: int, pool_first: bool
) -> None:
    built = network(name, shape, time_steps=time_steps, pool_first=pool_first)
    images = torch.rand(5, *shape)
    with torch.no_grad():
        logits = built(images)
        assert logits.shape == (5, 10)
        torch.testing.assert_close(logits, step_by_step(built, images), rtol=1e-4, atol=1e-4)


def test_the_first_layer_sees_each_sample_once() -> None:
    built = network("convnet", (1, 8, 8), time_steps=4, pool_first=False)
    seen: dict[str, tuple[int, ...]] = {}
    for name, module in built.named_modules():
        module.register_forward_hook(
            lambda module, args, output, name=name: seen.update({name: tuple(args[0].shape)})
        )
    built(torch.rand(5, 1, 8, 8))
    assert seen["layers.0.synapse"] == (5, 1, 8, 8)
    assert seen["layers.0.norm"] == (5, 8, 8, 8)
    assert seen["layers.0.neuron"] == (4, 5, 8, 8, 8)
    assert seen["layers.0.pool"] == (20, 8, 8, 8)
    assert seen["layers.1.synapse"] == (20, 8, 4, 4)
    assert seen["layers.1.neuron"] == (4, 5, 16, 4, 4)
    assert seen["readout.synapse"] == (20, 32)


def test_rows_of_a_folded_batch_are_time_major() -> None:
    place = [
        Position("linear", "first", 2, 2, flatten=True),
        Position("linear", "readout", 2, 2),
    ]
    rows: list[Tensor] = []

    class Record(nn.Identity):
        def forward(self, values: Tensor) -> Tensor:
            rows.append(values)
            return values

    class Step(nn.Module):
        def forward(self, currents: Tensor) -> Tensor:
            t, b = currents.shape[:2]
            return torch.arange(t * b).view(t, b, 1) * 10.0 + torch.zeros_like(currents)

    built = Network(
        place, make_synapse=lambda p: Record(), make_neuron=lambda p: Step(), time_steps=3
    )
    # neuron (t, b) says 10 (2 t + b); logits are the mean over t: 10 (2 + b)
    assert built(torch.rand(2, 2, 1, 1))[:, 0].tolist() == [20, 30]
    assert rows[1][:, 0].tolist() == [0, 10, 20, 30, 40, 50]


def test_fewer_steps_at_evaluation_are_an_attribute() -> None:
    built = network("mlp", (1, 8, 8), time_steps=4, pool_first=False)
    images = torch.rand(2, 1, 8, 8)
    built.time_steps = 2
    torch.testing.assert_close(built(images), step_by_step(built, images))


def test_maps_lie_channels_last_whoever_calls() -> None:
    built = network("convnet", (3, 8, 8), time_steps=1, pool_first=False)
    weight = built.layers[1].synapse.weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    images = torch.rand(4, 3, 8, 8)
    assert torch.equal(built(images), built(images.contiguous(memory_format=torch.channels_last)))


def test_no_steps_are_refused() -> None:
    with pytest.raises(BuildFailure, match="time_steps 0: must be at least 1"):
        network("mlp", (1, 8, 8), time_steps=0, pool_first=False)
