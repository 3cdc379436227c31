"""Counting changes nothing: not the output, not the model, not the process, also if it fails."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import networks
import pytest
import torch
import torch.nn.functional as F
import traces
from contexts import CONTEXTS, Call, InContext
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from dse.counting.count import count
from dse.errors import NotFiniteError, TracingError


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


class Cast(nn.Module):
    """A network under autocast to 16 bits."""

    def __init__(self):
        super().__init__()
        self.net = networks.resnet18()

    def forward(self, x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return self.net(x)


class Padded(nn.Module):
    """A transformer's encoder with tokens that are ignored: torch packs them as nested tensors."""

    def __init__(self):
        super().__init__()
        layer = nn.TransformerEncoderLayer(16, 4, 24, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)

    def forward(self, x):
        ignored = torch.zeros(x.shape[:2], dtype=torch.bool)
        ignored[0, -2:] = True
        return self.encoder(x, src_key_padding_mask=ignored)


class Whole(nn.Module):
    """Attention that returns its weights, too."""

    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(16, 4, batch_first=True)

    def forward(self, x):
        return self.attention(x, x, x)


class Recurrent(nn.Module):
    """A fused layer with all that it returns."""

    def __init__(self, kind):
        super().__init__()
        self.layer = kind(16, 4, num_layers=2, bidirectional=True, batch_first=True)

    def forward(self, x):
        return self.layer(x)


class Draws(nn.Module):
    """Random numbers in the middle, a state and a counter."""

    def __init__(self):
        super().__init__()
        self.layer, self.drop = nn.Linear(16, 4), nn.Dropout()
        self.norm = nn.BatchNorm1d(6)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x):
        self.seen += 1
        self.state = self.norm(x) * torch.rand(())
        return self.drop(self.layer(self.state)) + torch.randn(4)


class Listening(TorchDispatchMode):
    """Sees every operator and does nothing."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return func(*args, **(kwargs or {}))


# whoever listens at all makes torch add up the steps of a GRU in another order in inference mode
LISTENED = {("gru", "inference")}

TOKENS, IMAGES = (2, 6, 16), (2, 3, 16, 16)
MODELS = {
    "resnet18": (networks.resnet18, IMAGES),
    "u-net": (networks.UNet, (2, 1, 16, 16)),
    "autocast": (Cast, IMAGES),
    "vision transformer": (networks.VisionTransformer, IMAGES),
    "spikformer": (networks.Spikformer, (2, 9, 8)),
    "encoder": (networks.Encoder, TOKENS),
    "encoder with padding": (Padded, TOKENS),
    "attention": (Whole, TOKENS),
    "lstm": (lambda: Recurrent(nn.LSTM), TOKENS),
    "gru": (lambda: Recurrent(nn.GRU), TOKENS),
    "bilinear": (lambda: Call(lambda x, w: F.bilinear(x, x, w), torch.randn(3, 16, 16)), TOKENS),
    "random": (Draws, TOKENS),
}


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors is in prototype stage")
@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("name", MODELS)
def test_the_output_is_the_same_to_the_last_bit(name, context):
    build, shape = MODELS[name]
    model, x = InContext(build(), context), torch.randn(shape)
    model.eval().register_forward_hook(lambda module, inputs, output: outputs.append(output))
    outputs = []
    torch.manual_seed(1)
    with torch.no_grad(), Listening() if (name, context) in LISTENED else nullcontext():
        model(x)
    torch.manual_seed(1)
    count(model, x)
    plain, counted = (tree_leaves(output) for output in outputs)
    assert len(plain) == len(counted) > 0
    for one, other in zip(plain, counted, strict=True):
        assert (one.dtype, one.shape, one.stride()) == (other.dtype, other.shape, other.stride())
        assert torch.equal(one, other)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors is in prototype stage")
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_nothing_is_left_behind(name, training):
    build, shape = MODELS[name]
    model, x = build().train(training), torch.randn(shape)
    of_model, of_input = traces.of_model(model), traces.of_tensor(x)
    count(model, x)  # torch may load parts of itself
    of_process = traces.of_process()
    count(model, x)
    assert traces.differences(of_process, traces.of_process()) == []
    assert traces.differences(of_model, traces.of_model(model)) == []
    assert of_input == traces.of_tensor(x)


class Raises(nn.Module):
    """Fails in the middle of a model, after it has changed a few things."""

    def forward(self, x):
        torch.rand(1)
        self.last = x
        raise ValueError("in the middle")


class Logarithm(nn.Module):
    """Not a number, for what is negative."""

    def forward(self, x):
        return x.log()


def failing(middle):
    """A network of several kinds of layers with something in its middle."""
    first = nn.Sequential(nn.Conv1d(6, 6, 3, padding=1), nn.BatchNorm1d(6))
    inner = nn.Sequential(nn.Dropout(), middle)
    return nn.Sequential(first, nn.TransformerEncoderLayer(16, 2, 8, batch_first=True), inner,
                         nn.Linear(16, 2))  # fmt: skip


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize(
    ("middle", "error", "message"),
    [
        (Raises(), TracingError, r"2\.1 raised ValueError.*in the middle"),
        (nn.Linear(15, 3), TracingError, r"2\.1 raised RuntimeError"),
        (Logarithm(), NotFiniteError, r"3: .*NaN or infinite"),
        (Call(lambda x: x / 0), NotFiniteError, r"3: .*NaN or infinite"),
    ],
    ids=["raises", "shape", "nan", "infinite"],
)
def test_a_failure_is_named_and_nothing_is_left_behind(middle, error, message, context):
    model = InContext(failing(middle), context).train()
    x = torch.randn(TOKENS)
    of_model, of_input = traces.of_model(model), traces.of_tensor(x)
    with pytest.raises(error, match=rf"model\.{message}"):
        count(model, x)  # torch may load parts of itself
    of_process = traces.of_process()
    with pytest.raises(error):
        count(model, x)
    assert traces.differences(of_process, traces.of_process()) == []
    assert traces.differences(of_model, traces.of_model(model)) == []
    assert of_input == traces.of_tensor(x)
    # the next count is not the worse for it
    assert count(nn.Linear(16, 4), x).ops.dense == 6 * 16 * 4


@pytest.mark.parametrize(
    ("build", "x", "error", "message"),
    [
        (lambda: nn.Linear(3, 2, device="meta"), torch.zeros(1, 3), TracingError, "meta device"),
        (lambda: nn.Linear(3, 2), torch.zeros(1, 3, device="meta"), TracingError, "meta"),
        (lambda: nn.Linear(3, 2), torch.tensor([[1.0, torch.nan, 2.0]]), NotFiniteError,
         "linear: .*NaN or infinite"),
        (lambda: nn.Linear(3, 2), torch.zeros(1, 4), TracingError,
         r"raised RuntimeError for an input of shape \(1, 4\)"),
    ],
    ids=["meta model", "meta input", "not a number", "wrong shape"],
)  # fmt: skip
def test_what_cannot_be_counted_is_refused(build, x, error, message):
    model = build()
    with pytest.raises(error):
        count(model, x)  # torch loads a part of itself when it first meets a meta tensor
    before = traces.of_process()
    with pytest.raises(error, match=message):
        count(model, x)
    assert traces.differences(before, traces.of_process()) == []


def test_an_interruption_leaves_nothing_behind():
    class Stops(nn.Module):
        def forward(self, x):
            raise KeyboardInterrupt

    model, x = failing(Stops()).train(), torch.randn(TOKENS)
    before = traces.of_process(), traces.of_model(model)
    with pytest.raises(KeyboardInterrupt):
        count(model, x)
    assert traces.differences(before[0], traces.of_process()) == []
    assert traces.differences(before[1], traces.of_model(model)) == []


def test_counting_inside_a_model_that_is_counted():
    inner, x = nn.Sequential(nn.Linear(16, 4), nn.ReLU(), nn.Linear(4, 2)), torch.randn(3, 16)
    seen = []

    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(16, 5)

        def forward(self, x):
            seen.append(count(inner, x))
            return self.layer(x)

    model = Outer()
    alone, own = count(inner, x), count(model.layer, x)
    before = traces.of_process(), traces.of_model(model), traces.of_model(inner)
    try:
        counts = count(model, x)
    except TracingError as refusal:
        assert "count" in str(refusal)
    else:
        assert seen[-1].ops == alone.ops
        # what the inner count has run has run inside the outer one, or is nobody's
        assert counts.ops in (own.ops, own.ops + alone.ops)
    after = traces.of_process(), traces.of_model(model), traces.of_model(inner)
    assert [traces.differences(*pair) for pair in zip(before, after, strict=True)] == [[]] * 3


class Meeting(nn.Module):
    """Waits a moment for somebody else in the middle of its pass."""

    def __init__(self, net, barrier):
        super().__init__()
        self.net, self.barrier = net, [barrier]

    def forward(self, x):
        half = len(self.net) // 2
        x = self.net[:half](x)
        try:
            self.barrier[0].wait(timeout=0.5)
        except threading.BrokenBarrierError:
            pass  # who counts one after the other is right as well
        return self.net[half:](x)


def test_two_threads_count_two_models():
    x = torch.rand(2, 3, 16, 16)
    nets = networks.resnet18(4), networks.mobilenet()
    alone = [count(net, x).ops for net in nets]
    assert alone[0] != alone[1]
    before = traces.of_process()
    del before["random"]  # two threads draw from one generator
    barrier = threading.Barrier(2)
    with ThreadPoolExecutor(2) as pool:
        models = [Meeting(net, barrier) for net in nets]
        together = [pool.submit(count, model, x) for model in models]
        assert [result.result().ops for result in together] == alone
    after = traces.of_process()
    del after["random"]
    assert traces.differences(before, after) == []


def test_a_model_that_runs_in_another_thread_is_left_alone():
    x = torch.rand(2, 3, 16, 16)
    other = networks.mobilenet().eval()
    with torch.no_grad():
        wanted = other(x)

    def elsewhere(inputs):
        with ThreadPoolExecutor(1) as pool, torch.no_grad():
            found.append(pool.submit(other, x).result())
        return inputs

    found = []
    net = networks.resnet18()
    alone = count(net, x).ops
    counts = count(nn.Sequential(net, Call(elsewhere)), x)
    assert torch.allclose(found[-1], wanted)
    assert counts.ops == alone
