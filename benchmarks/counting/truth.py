"""Truth: exact products of a network by the real operators on masks, with no counter in between.

A pair counts if both values are not zero and meet inside the borders. The number of pairs of a
layer is the sum over its own operator applied to two masks of zeros and ones in double precision,
where every partial sum is an integer far below 2^53: exact. Layers are seen by forward hooks, a
product of two activations because the network tells of it. A layer that is not known is refused.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.counting.spiking import products_told_to
from energy_models.counts import OpCounts

Pairs = Callable[[Tensor, Tensor], Tensor]
_LARGEST_LEVEL = 8
_WITHOUT_PRODUCTS = (
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.BatchNorm3d,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.PReLU,
    nn.Embedding,
)


@dataclass(frozen=True, slots=True)
class TrueCounts:
    """Products per sample by row; a row is a layer, or `path/matmul#k` for a product by no layer.

    Totals over a batch are integers, divided by `samples` once.
    """

    samples: int
    rows: Mapping[str, OpCounts]

    @property
    def total(self) -> OpCounts:
        """All rows."""
        return _sum(self.rows.values())

    def within(self, path: str) -> OpCounts:
        """The rows of a module and of all that stands inside it."""
        return _sum(ops for name, ops in self.rows.items() if is_within(name, path))

    @property
    def modules(self) -> tuple[str, ...]:
        """Paths of the modules that own a row."""
        return tuple(dict.fromkeys(name.split("/")[0] for name in self.rows))


@dataclass(frozen=True, slots=True)
class _Call:
    """One product that was made: its factors, its pairs as a function of two masks, and sizes.

    by_channel : the weight as (output channels, the rest); None for two activations
    dense : pairs, whatever the values, padding taps included
    """

    left: Tensor
    right: Tensor
    pairs: Pairs
    dense: int
    by_channel: Tensor | None = None


class UnknownLayerError(ValueError):
    """A layer has weights, and the truth of its products is not written down here."""


def is_within(name: str, path: str) -> bool:
    """Whether a row, or a module, is a module or stands inside it."""
    return name == path or path == "" or name.startswith((f"{path}.", f"{path}/"))


def true_counts(
    model: nn.Module, batch: Tensor, neurons: tuple[type[nn.Module], ...] = ()
) -> TrueCounts:
    """Run a model in evaluation mode on a batch, the samples in dimension 0.

    neurons : layers of a library whose parameters are no weights
    Raises UnknownLayerError for a layer with weights, or an option of one, that is not known.
    """
    calls: dict[str, list[_Call]] = defaultdict(list)
    names = {id(module): name for name, module in model.named_modules()}
    numbers: Counter[str] = Counter()

    def hear(module: nn.Module, left: Tensor, right: Tensor) -> None:
        name = f"{names[id(module)]}/matmul#{numbers[names[id(module)]]}"
        numbers[names[id(module)]] += 1
        calls[name].append(_product(left, right))

    def restart(module: nn.Module, *_: Any) -> None:
        numbers[names[id(module)]] = 0

    def see(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        for suffix, call in _calls(module, args, kwargs, output):
            calls[names[id(module)] + suffix].append(call)

    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        stack.enter_context(products_told_to(hear))
        for name, module in model.named_modules():
            stack.callback(module.register_forward_pre_hook(restart).remove)
            if _is_layer(name, module, neurons):
                hook = module.register_forward_hook(see, with_kwargs=True)
                stack.callback(hook.remove)
        model(batch)
        rows = {name: _counts(made, len(batch)) for name, made in calls.items()}
    return TrueCounts(len(batch), rows)


def _is_layer(name: str, module: nn.Module, neurons: tuple[type[nn.Module], ...]) -> bool:
    known = (
        nn.Linear,
        nn.Conv1d,
        nn.Conv2d,
        nn.Conv3d,
        nn.ConvTranspose1d,
        nn.ConvTranspose2d,
        nn.ConvTranspose3d,
        nn.LSTM,
        nn.MultiheadAttention,
    )
    if isinstance(module, known):
        return True
    has_weights = any(parameter is not None for parameter in module._parameters.values())
    if has_weights and not isinstance(module, _WITHOUT_PRODUCTS + neurons):
        raise UnknownLayerError(
            f"{name}: the true products of {type(module).__name__} are not known; "
            "add them to benchmarks/counting/truth.py"
        )
    return False


def _calls(module: nn.Module, args: Any, kwargs: Any, output: Any) -> Iterable[tuple[str, _Call]]:
    """The products of one call of a layer, each with what its row is called below the layer."""
    if isinstance(module, nn.Linear):
        return [("", _linear(args[0], module.weight))]
    if isinstance(module, nn.LSTM):
        return _lstm(module, args, output[0])
    if isinstance(module, nn.MultiheadAttention):
        return _attention(module, args, kwargs)
    return [("", _convolution(module, args[0], output))]


def _linear(x: Tensor, weight: Tensor) -> _Call:
    dense = x.numel() * weight.shape[0]
    return _Call(x, weight, F.linear, dense, by_channel=weight)


def _product(left: Tensor, right: Tensor) -> _Call:
    return _Call(left, right, torch.matmul, left.numel() * right.shape[-1])


def _convolution(layer: Any, x: Tensor, output: Tensor) -> _Call:
    if layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        raise UnknownLayerError(
            f"{layer}: only padding by a number of zeros is known; pad in a layer of its own"
        )
    dimensions = len(layer.kernel_size)
    is_transposed = layer.transposed
    functions: Any = (
        (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)
        if is_transposed
        else (F.conv1d, F.conv2d, F.conv3d)
    )
    options = {name: getattr(layer, name) for name in ("stride", "padding", "dilation", "groups")}
    if is_transposed:
        options["output_padding"] = layer.output_padding
    pairs = partial(functions[dimensions - 1], bias=None, **options)
    places = x if is_transposed else output
    dense = places.shape[0] * places[0, 0].numel() * layer.weight.numel()
    weight = layer.weight
    by_channel = weight.flatten(1)
    if is_transposed:  # (C_in, C_out / groups, *K): the output channels stand in the second place
        by_group = weight.unflatten(0, (layer.groups, -1)).transpose(1, 2)
        by_channel = by_group.flatten(0, 1).flatten(1)
    return _Call(x, weight, pairs, dense, by_channel=by_channel)


def _lstm(layer: nn.LSTM, args: Any, output: Tensor) -> list[tuple[str, _Call]]:
    """Input by input weights, and what left the step before by recurrent weights."""
    is_plain = layer.num_layers == 1 and not layer.bidirectional and layer.proj_size == 0
    if not is_plain or len(args) != 1 or args[0].dim() != 3:
        raise UnknownLayerError(
            f"{layer}: an LSTM of one layer and one direction, from a zero state, is known"
        )
    time = 1 if layer.batch_first else 0
    first = torch.zeros_like(output.narrow(time, 0, 1))
    before = torch.cat((first, output.narrow(time, 0, output.shape[time] - 1)), time)
    return [
        ("/input", _linear(args[0], layer.weight_ih_l0)),
        ("/recurrent", _linear(before, layer.weight_hh_l0)),
    ]


def _attention(layer: nn.MultiheadAttention, args: Any, kwargs: Any) -> list[tuple[str, _Call]]:
    """Projections, scores and mixing, made again with the equations of the layer."""
    is_plain = layer._qkv_same_embed_dim and layer.batch_first and layer.bias_k is None
    is_masked = any(kwargs.get(name) is not None for name in ("attn_mask", "key_padding_mask"))
    if not is_plain or is_masked or len(args) != 3 or layer.add_zero_attn:
        raise UnknownLayerError(
            f"{layer}: attention with batch_first, one width and no mask is known"
        )
    biases = layer.in_proj_bias
    parts: Any = zip(
        args,
        layer.in_proj_weight.chunk(3),
        (None,) * 3 if biases is None else biases.chunk(3),
        strict=True,
    )
    projected = [(x, weight, F.linear(x, weight, bias)) for x, weight, bias in parts]
    q, k, v = (y.unflatten(2, (layer.num_heads, -1)).transpose(1, 2) for _, _, y in projected)
    share = (q @ k.transpose(2, 3) / layer.head_dim**0.5).softmax(-1)
    mixed = (share @ v).transpose(1, 2).flatten(2)
    names = ("/query", "/key", "/value")
    return [
        *((n, _linear(x, w)) for n, (x, w, _) in zip(names, projected, strict=True)),
        ("/scores", _product(q, k.transpose(2, 3))),
        ("/mixing", _product(share, v)),
        ("/output", _linear(mixed, layer.out_proj.weight)),
    ]


def _counts(calls: list[_Call], samples: int) -> OpCounts:
    """The classes of one row, decided from all its calls together."""
    has_weight = calls[0].by_channel is not None
    left_step = _step([call.left for call in calls])
    right_step = None if has_weight else _step([call.right for call in calls])
    is_binary = all(call.by_channel is not None and _is_binary(call.by_channel) for call in calls)
    totals: Counter[str] = Counter()
    levels: set[int | None] = set()
    for call in calls:
        for right_level, right in _masks(call.right, right_step):
            for left_level, left in _masks(call.left, left_step):
                pairs = round(call.pairs(left, right).sum().item())
                totals += _classes(left_level, right_level, pairs, is_binary)
                levels |= {left_level} if has_weight else {left_level, right_level}
    is_real = left_step is None and (has_weight or right_step is None)
    is_graded = any(level is not None and level > 1 for level in levels)
    dense = "graded" if is_graded else _class_of_units_or_reals(is_real, is_binary)
    totals[f"dense_{dense}"] = sum(call.dense for call in calls)
    return OpCounts(**{field.name: totals[field.name] / samples for field in fields(OpCounts)})


def _class_of_units_or_reals(is_real: bool, is_binary: bool) -> str:
    if is_real:
        return "ac" if is_binary else "mac"
    return "binary" if is_binary else "ac"


def _classes(left: int | None, right: int | None, pairs: int, is_binary: bool) -> Counter[str]:
    """The classes of so many pairs of two levels; None is a real value, or a weight."""
    found = [level for level in (left, right) if level is not None]
    level = found[0] * found[-1] if len(found) == 2 else (found[0] if found else 0)
    if level > 1:
        return Counter(graded=pairs, graded_accumulates=pairs * level)
    name = _class_of_units_or_reals(not found, is_binary)
    by_weight = pairs if is_binary and not found else 0
    return Counter({name: pairs, "ac_by_weight": by_weight})


def _masks(x: Tensor, step: float | None) -> list[tuple[int | None, Tensor]]:
    """Where a tensor holds each level, in double precision; a real one, or a weight: non-zeros."""
    if step is None:
        return [(None, (x != 0).double())]
    nearest = (x.double().abs() / step).round()
    masks = ((level, nearest == level) for level in range(1, _LARGEST_LEVEL + 1))
    return [(level, mask.double()) for level, mask in masks if bool(mask.any())]


def _step(tensors: list[Tensor]) -> float | None:
    """The c that makes every value k * c with an integer abs(k) <= 8; None if there is none."""
    found: set[float] = set()
    for x in tensors:
        found.update(x.double().abs().unique().tolist())
        if len(found) > _LARGEST_LEVEL + 1:
            return None
    magnitudes = torch.tensor(sorted(found - {0.0}), dtype=torch.double)
    if len(magnitudes) == 0:
        return 1.0  # nothing came: spikes that were silent
    # seven additions of a spike's height, each rounded
    tolerance = 4 * max(torch.finfo(x.dtype).eps for x in tensors)
    for divisor in range(1, _LARGEST_LEVEL + 1):
        multiples = magnitudes / (magnitudes[0] / divisor)
        off = (multiples - multiples.round()).abs() / multiples
        if bool((off <= tolerance).all()) and multiples[-1] < _LARGEST_LEVEL + 0.5:
            return float(magnitudes[0] / divisor)
    return None


def _is_binary(by_channel: Tensor) -> bool:
    """Whether the weights that are not zero have one magnitude an output channel."""
    magnitude = by_channel.abs()
    largest = magnitude.amax(1, keepdim=True)
    return bool(((magnitude == largest) | (magnitude == 0)).all())


def _sum(rows: Iterable[OpCounts]) -> OpCounts:
    total = OpCounts()
    for ops in rows:
        total = total + ops
    return total
