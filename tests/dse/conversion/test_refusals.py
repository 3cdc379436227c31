"""What cannot be converted is refused by name, with the line of the user's model; all at once."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from dse import usercode
from dse.conversion import lines
from dse.conversion.convert import convert
from dse.conversion.graph import trace
from dse.conversion.methods import METHODS
from dse.errors import ConversionFailure

HEAD = """
import torch
import torch.nn.functional as F
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.fc, self.fc2, self.fc3 = nn.Linear(48, 2), nn.Linear(48, 12), nn.Linear(12, 2)
        self.same = nn.Linear(12, 12)
        self.layer, self.prelu, self.group = nn.LayerNorm(12), nn.PReLU(), nn.GroupNorm(1, 3)
        self.free = nn.BatchNorm2d(3, track_running_stats=False)
        self.reflect = nn.Conv2d(3, 3, 3, padding=1, padding_mode="reflect")
        self.up, self.line = nn.ConvTranspose2d(3, 3, 3, padding=1), nn.Conv1d(3, 3, 3, padding=1)
        self.attention = nn.MultiheadAttention(12, 2, batch_first=True)
        self.elu, self.hard = nn.ELU(), nn.Hardtanh(-1.0, 1.0)
        self.factor = nn.Parameter(torch.ones(1))
        self.inplace = nn.ReLU(inplace=True)
        self.norm = nn.BatchNorm1d(12)

"""
ONE = "    def forward(self, x):\n"
KNOWN = "must be one of Conv2d, Linear, BatchNorm, ReLU"


def _built(path: Path, text: str) -> nn.Module:
    path.write_text(f"{HEAD}{text}\n\ndef build():\n    return Net().eval()\n")
    torch.manual_seed(0)
    with lines.noted():
        return usercode.load(path, "build")()


def _images() -> Tensor:
    return torch.rand(8, 3, 4, 4)


def _refused(model: nn.Module, images: Tensor | None = None, **values) -> str:
    method = replace(METHODS["opi"], **values)
    with pytest.raises(ConversionFailure) as caught:
        convert(model, _images() if images is None else images, method, 4)
    return str(caught.value)


# the body of `forward`, and what is said; {n} is the number of the line that ends in "# n"
BODIES = {
    "sigmoid": (
        "x = torch.sigmoid(self.conv(x))  # 1\nreturn self.fc(x.flatten(1))",
        f"sigmoid ({{1}}): sigmoid cannot be converted: {KNOWN}",
    ),
    "softmax at the end": (
        "x = self.conv(x).relu().flatten(1)\nreturn F.softmax(self.fc(x), 1)  # 1",
        "softmax ({1}): softmax cannot be converted",
    ),
    "attention": (
        "x = self.fc2(self.conv(x).relu().flatten(1)).relu().unsqueeze(1)  # 1\n"
        "x, _ = self.attention(x, x, x)  # 2\nreturn self.fc3(x.squeeze(1))",
        "attention ({2}): MultiheadAttention cannot be converted",
    ),
    "layer norm": (
        "x = self.layer(self.fc2(x.flatten(1)))  # 1\nreturn self.fc3(x.relu())",
        "layer ({1}): LayerNorm cannot be converted",
    ),
    "group norm": (
        "x = self.group(self.conv(x)).relu()  # 1\nreturn self.fc(x.flatten(1))",
        "group ({1}): GroupNorm cannot be converted",
    ),
    "1d": (
        "x = self.line(x.flatten(2)).relu()  # 1\nreturn self.fc(x.flatten(1))",
        "line ({1}): Conv1d cannot be converted",
    ),
    "transposed": (
        "x = self.up(x).relu()  # 1\nreturn self.fc(x.flatten(1))",
        "up ({1}): ConvTranspose2d cannot be converted",
    ),
    "concatenation": (
        "x = self.conv(x).relu()\nx = torch.cat([x, x], 1)  # 1\nreturn self.fc(x.flatten(1))",
        "cat ({1}): cat cannot be converted",
    ),
    "multiplication": (
        "x = self.conv(x).relu()\nx = x * self.conv(x)  # 1\nreturn self.fc(x.flatten(1))",
        "mul ({1}): mul cannot be converted",
    ),
    "a parameter": (
        "x = self.conv(x).relu() + self.factor  # 1\nreturn self.fc(x.flatten(1))",
        "factor ({1}): a parameter or a constant of its own",
    ),
    "a number": (
        "x = self.conv(x).relu()\nx = x + 1  # 1\nreturn self.fc(x.flatten(1))",
        "add ({1}): a sum with a number: must be a sum of two layers",
    ),
    "a weighted sum": (
        "x = torch.add(self.conv(x), x, alpha=2).relu()  # 1\nreturn self.fc(x.flatten(1))",
        "add ({1}): a sum with alpha: must be a plain sum",
    ),
    "control flow": (
        "x = self.conv(x).relu()\nif x.sum() > 0:  # 1\n    x = x + x\nreturn self.fc(x)",
        "Net: cannot be traced: symbolically traced variables cannot be used as inputs to control "
        "flow ({1}); its forward pass must not depend on the data",
    ),
    "an assertion without words": (
        "assert False  # 1\nreturn x",
        "Net: cannot be traced: AssertionError() ({1})",
    ),
    "reflecting padding": (
        "x = self.reflect(x).relu()  # 1\nreturn self.fc(x.flatten(1))",
        "reflect ({1}): padding_mode reflect: must be zeros",
    ),
    "max of currents": (
        "x = F.max_pool2d(self.conv(x), 1)  # 1\nx = self.conv(x).relu()\n"
        "return self.fc(x.flatten(1))",
        "max_pool2d ({1}): a max-pool of currents: an activation must come before",
    ),
    "ends in an activation": (
        "x = self.conv(x).relu().flatten(1)\nreturn self.fc(x).relu()  # 1",
        "relu_1 ({1}): logits must come from synapses, not from an activation",
    ),
    "activations in a row": (
        "x = self.conv(x).relu().relu()  # 1\nreturn self.fc(x.flatten(1))",
        "relu_1 ({1}): an activation of an activation: synapses must be between",
    ),
    "no activation": (
        "return self.fc(self.conv(x).flatten(1))",
        "model: has no activation that neurons could take the place of",
    ),
    "leaky": (
        "x = F.leaky_relu(self.conv(x))  # 1\nreturn self.fc(x.flatten(1))",
        "leaky_relu ({1}): leaky_relu cannot be converted",
    ),
    "a lower bound": (
        "x = self.hard(self.conv(x))  # 1\nreturn self.fc(x.flatten(1))",
        "hard ({1}): a lower bound of -1.0: a firing rate has 0",
    ),
    "norm without statistics": (
        "x = self.free(self.conv(x)).relu()  # 1\nreturn self.fc(x.flatten(1))",
        "free ({1}): no running statistics: cannot be folded",
    ),
    "norm behind an activation": (
        "x = self.fc2(x.flatten(1)).relu()\nreturn self.fc3(self.norm(x))  # 1",
        "norm ({1}): no synapses stand right before this batch-norm: cannot be folded",
    ),
    "dropout that is always there": (
        "x = F.dropout(self.conv(x).relu())  # 1\nreturn self.fc(x.flatten(1))",
        "dropout ({1}): active in evaluation as well: must have training=self.training",
    ),
    "a part": (
        "x = self.conv(x).relu().flatten(1)\nreturn self.fc(x)[:, :1]  # 1",
        "getitem ({1}): a part of a tensor by its index: must be the whole",
    ),
    "two results": (
        "x = self.conv(x).relu().flatten(1)\nreturn self.fc(x), x",
        "output ({0}): the model must return one tensor of logits",
    ),
    "nothing": (
        "self.conv(x).relu()",
        "output ({0}): the model must return one tensor of logits",
    ),
    "a sum of features": (
        "x = self.fc2(x.flatten(1)).relu()\nx = (self.same(x) + x).relu()  # 1\nreturn self.fc3(x)",
        "add ({1}): a sum of features of neurons: must be maps",
    ),
    "an attribute that is missing": (
        "return self.absent(x)  # 1",
        "Net: cannot be traced: 'Net' object has no attribute 'absent' ({1})",
    ),
    "a hidden view": (
        "x = self.conv(x).relu()\nreturn self.fc(x.permute(0, 2, 3, 1).flatten(1))  # 1",
        "permute ({1}): .permute() cannot be converted",
    ),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_layer_is_refused_with_its_line(name, tmp_path):
    body, wanted = BODIES[name]
    path = tmp_path / "mine.py"
    model = _built(path, ONE + "\n".join(f"        {line}" for line in body.splitlines()))
    text = path.read_text().splitlines()
    places = [next(n for n, line in enumerate(text, 1) if "def forward" in line)]
    for mark in ("# 1", "# 2"):
        places += [n for n, line in enumerate(text, 1) if line.endswith(mark)]
    said = _refused(model)
    assert wanted.format(*(f"mine.py:{n}" for n in places)) in said
    assert "what it takes is no output" not in said  # no second message of the same mistake
    assert said.count("mine.py") <= 2


def test_all_mistakes_are_told_at_once(tmp_path):
    body = ONE + (
        "        x = torch.tanh(self.conv(x))\n"
        "        x = torch.cat([x, x], 1)\n"
        "        x = self.elu(self.up(x)) * 2\n"
        "        return self.fc(x.flatten(1)).softmax(1)"
    )
    said = _refused(_built(tmp_path / "mine.py", body)).splitlines()
    assert [line.split()[0] for line in said] == ["tanh", "cat", "up", "elu", "mul", "softmax"]


def test_a_second_input_is_refused(tmp_path):
    model = _built(
        tmp_path / "mine.py",
        "    def forward(self, x, y):\n        return self.fc(self.conv(x + y).relu().flatten(1))",
    )
    assert "y: a second input: a model of one input can be converted" in _refused(model)


def test_lines_of_a_chain_are_those_where_its_layers_are_made(tmp_path):
    path = tmp_path / "chain.py"
    path.write_text(
        "from torch import nn\n"
        "def build():\n"
        "    return nn.Sequential(\n"
        "        nn.Flatten(),\n"
        "        nn.Linear(48, 4),\n"
        "        nn.Sequential(nn.Tanh(),\n"
        "                      nn.Linear(4, 2)),\n"
        "        nn.Sigmoid(),\n"
        "    )\n"
    )
    with lines.noted():
        model = usercode.load(path, "build")()
    said = _refused(model).splitlines()
    assert [line.split(":")[0] + line.split(":")[1] for line in said] == [
        "2.0 (chain.py6)",
        "3 (chain.py8)",
    ]
    # who calls is never named in place of the model
    unnoted = usercode.load(path, "build")()
    assert ".py" not in _refused(unnoted)


def test_an_activation_that_changes_what_others_read_is_refused(tmp_path):
    # x is negative no more where it is added
    body = ONE + (
        "        x = self.conv(x)\n"
        "        x = x + self.conv(self.inplace(x))\n"
        "        return self.fc(x.relu().flatten(1))"
    )
    said = _refused(_built(tmp_path / "mine.py", body))
    assert said.startswith("Net: its layers were found, and give other logits than the model")


def test_a_view_that_moves_samples_is_refused(tmp_path):
    body = ONE + "        return self.fc3(self.{}(x.view(-1, {})).relu())"
    convert(_built(tmp_path / "all.py", body.format("fc2", 48)), _images(), METHODS["opi"], 2)
    said = _refused(_built(tmp_path / "mine.py", body.format("same", 12)))
    assert said.startswith("Net: its layers were found, and do not fit one another")


def _chain(*layers: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(*layers).eval()


def _small() -> nn.Module:
    return _chain(nn.Flatten(), nn.Linear(48, 6), nn.ReLU(), nn.Linear(6, 2))


def _with(change: Callable[[nn.Module], None]) -> nn.Module:
    model = _small()
    with torch.no_grad():
        change(model)
    return model


def test_weights_that_are_not_finite_are_named():
    for value in (float("nan"), float("inf")):
        said = _refused(_with(lambda m, v=value: m[1].weight.__setitem__((0, 0), v)))
        assert said.startswith("1: a weight is NaN or infinite: must be finite")
    norm = nn.BatchNorm2d(3)
    norm.running_var[0] = float("nan")
    said = _refused(_chain(nn.Conv2d(3, 3, 1), norm, nn.ReLU(), nn.Flatten(), nn.Linear(48, 2)))
    assert "a weight is NaN or infinite" in said


def test_a_layer_that_is_never_active_is_named():
    model = _with(lambda m: (m[1].weight.zero_(), m[1].bias.fill_(-1.0)))
    assert "2: dead layer: no activation is above 0 on 8 images" in _refused(model)


def test_a_threshold_of_zero_is_named():
    said = _refused(_with(lambda m: m[1].bias.sub_(0.2)), threshold="percentile", percentile=1.0)
    assert "2: threshold 0 by the rule percentile: must be finite and above 0" in said
    assert "a percentile wants to be higher" in said


@pytest.mark.parametrize("percentile", [0.0, -1.0, 101.0, float("nan")])
def test_percentiles_that_are_none_are_refused(percentile):
    said = _refused(_small(), threshold="percentile", percentile=percentile)
    assert "must be above 0 and at most 100" in said


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_scales_that_are_none_are_refused(scale):
    assert "must be finite and above 0" in _refused(_small(), threshold_scale=scale)


@pytest.mark.parametrize("steps", [0, -3])
def test_no_steps_are_refused(steps):
    with pytest.raises(ConversionFailure, match=f"time_steps {steps}: must be at least 1"):
        convert(_small(), _images(), METHODS["opi"], steps)


def test_no_images_are_refused():
    assert "must have one image at least" in _refused(_small(), _images()[:0])


def test_images_of_another_shape_or_dtype_are_refused():
    said = _refused(_small(), torch.rand(8, 3, 5, 5))
    assert "Sequential: cannot run on images of shape (3, 5, 5)" in said
    said = _refused(_small().double())
    assert "images of torch.float32: must be of the dtype of its weights, torch.float64" in said


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_of_few_bits_are_refused(dtype):
    said = _refused(_small().to(dtype), _images().to(dtype)).splitlines()
    assert said[0] == f"1.weight: {dtype}: must be torch.float32 or torch.float64"
    assert len(said) == 4


def test_weights_without_values_are_refused():
    with pytest.raises(ConversionFailure, match=r"0\.weight: has no values: must have run once"):
        trace(nn.Sequential(nn.LazyConv2d(3, 3), nn.ReLU()))
    with torch.device("meta"):
        model = _small()
    with pytest.raises(ConversionFailure, match=r"1\.weight: has no values"):
        trace(model)


def test_data_without_rates_are_refused():
    said = _refused(_small(), _images() - 0.5, coding="rate")
    assert "values of the data are not in [0, 1]" in said


class Names(nn.Module):
    """Modules whose names meet once dots are gone, or are names of a ModuleDict."""

    def __init__(self) -> None:
        super().__init__()
        self.part = nn.Sequential(nn.Linear(48, 6), nn.ReLU())
        self.part_0, self.values, self.keys = nn.Linear(6, 6), nn.Linear(6, 4), nn.ReLU()
        self.pop = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.part_0(self.part(x.flatten(1))).relu()
        return self.pop(self.keys(self.values(x)))


def test_names_of_modules_do_not_meet():
    torch.manual_seed(0)
    model, images = Names(), _images()
    with torch.no_grad():
        network = convert(model, images, METHODS["opi"], 64).network
        wanted = model(images)
        missed = (network(images) - wanted).abs().mean() / wanted.std()
    assert float(missed) < 0.1
