import errno
from pathlib import Path

import pytest
import torch
from torch import nn

from dse.design import Design
from dse.errors import CheckpointError
from dse.training.checkpoint import load_weights, save_weights
from dse.variants import family


def build(variant: str, seed: int, **knobs) -> nn.Module:
    torch.manual_seed(seed)
    return family.load(variant).build(Design.of(variant, "convnet", knobs), (1, 8, 8), 10)


@pytest.fixture
def saved(tmp_path: Path) -> tuple[nn.Module, Path]:
    model = build("snn", 1)
    model(torch.rand(8, 1, 8, 8))  # moves the statistics of batch-norm
    path = tmp_path / "weights.safetensors"
    save_weights(model, path)
    return model.eval(), path


def test_round_trip_is_exact(saved: tuple[nn.Module, Path]) -> None:
    model, path = saved
    other = build("snn", 2).eval()
    images = torch.rand(4, 1, 8, 8)
    load_weights(other, path)
    expected = model.state_dict()
    assert expected.keys() == other.state_dict().keys()
    for name, tensor in other.state_dict().items():
        assert torch.equal(tensor, expected[name])
        assert tensor.stride() == expected[name].stride()
    assert torch.equal(other(images), model(images))


def test_nothing_else_is_left_in_the_folder_and_a_file_is_replaced(
    saved: tuple[nn.Module, Path],
) -> None:
    _, path = saved
    model = build("snn", 3)
    save_weights(model, path)
    assert list(path.parent.iterdir()) == [path]
    other = build("snn", 4)
    load_weights(other, path)
    assert torch.equal(other.readout.synapse.weight, model.readout.synapse.weight)


def test_a_failed_save_keeps_the_old_file(
    saved: tuple[nn.Module, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, path = saved
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(CheckpointError, match=r"weights.safetensors: .* no space left: there must"):
        save_weights(model, path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_shared_parameters_can_be_saved(tmp_path: Path) -> None:
    layer = nn.Linear(3, 3)
    path = tmp_path / "tied.safetensors"
    save_weights(nn.Sequential(layer, layer), path)
    other = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    load_weights(other, path)
    assert torch.equal(other[1].weight, layer.weight)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nowhere: no such file: must be weights"):
        load_weights(nn.Linear(1, 1), tmp_path / "nowhere")


@pytest.mark.parametrize("kept", [0, 5, 200, -1])
def test_a_truncated_file(saved: tuple[nn.Module, Path], kept: int) -> None:
    model, path = saved
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match=r"weights.safetensors: damaged"):
        load_weights(model, path)


def test_a_flipped_bit(saved: tuple[nn.Module, Path]) -> None:
    model, path = saved
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(CheckpointError, match="damaged: its values are not those that were saved"):
        load_weights(model, path)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_weights_of_another_model_name_every_difference(
    saved: tuple[nn.Module, Path],
) -> None:
    _, path = saved
    with pytest.raises(CheckpointError) as refusal:
        load_weights(build("ann", 1, depth=1, width=2.0), path)
    lines = str(refusal.value).splitlines()
    assert f"{path}: layers.1.synapse.weight: not in the model" in lines
    assert (
        f"{path}: layers.0.synapse.weight: torch.float32 (16, 1, 3, 3): "
        "must be torch.float32 (32, 1, 3, 3)"
    ) in lines
    with pytest.raises(CheckpointError, match=r"layers\.2\.norm\.bias: missing"):
        load_weights(build("ann", 1, depth=3), path)
