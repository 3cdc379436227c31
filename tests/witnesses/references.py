"""References: fused layers written out in elementary operators, as the products that they make."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from definitions import Layer, linear, matrix
from torch import Tensor, nn

GATES = {"RNN_TANH": 1, "GRU": 3, "LSTM": 4}


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    allowed: Tensor | None = None,
    is_causal: bool = False,
) -> tuple[list[Layer], Tensor]:
    """Scaled dot-product attention: its scores, its weighted sums, and its output in float64.

    q : (..., L, E)    k : (..., S, E)    v : (..., S, E_v)    allowed : booleans (..., L, S)
    A score that a mask takes away has been made; its weight is then zero.
    """
    scores = q.double() @ k.double().mT / math.sqrt(q.shape[-1])
    if is_causal:
        allowed = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
    if allowed is not None:
        scores = scores.masked_fill(~allowed, -math.inf)
    shares = scores.exp() / scores.exp().sum(dim=-1, keepdim=True)
    layers = [Layer(matrix(q, k.mT)), Layer(matrix(shares.to(q.dtype), v))]
    return layers, shares @ v.double()


def multihead(
    module: nn.MultiheadAttention, x: Tensor, *, ignored: Tensor | None = None
) -> tuple[list[Layer], Tensor]:
    """Self-attention over (B, L, E) in heads; `ignored` marks keys, (B, L)."""
    packed = x.double() @ module.in_proj_weight.double().mT
    if module.in_proj_bias is not None:
        packed = packed + module.in_proj_bias.double()
    heads = packed.float().unflatten(-1, (3, module.num_heads, -1)).permute(2, 0, 3, 1, 4)
    allowed = None if ignored is None else ~ignored[:, None, None, :]
    inner, context = attention(*heads, allowed=allowed)
    joined = context.float().transpose(1, 2).flatten(2)
    layers = [
        Layer(linear(x, module.in_proj_weight)),
        *inner,
        Layer(linear(joined, module.out_proj.weight)),
    ]
    return layers, module.out_proj(joined)


def encoder_layer(
    module: nn.TransformerEncoderLayer, x: Tensor, *, ignored: Tensor | None = None
) -> tuple[list[Layer], Tensor]:
    """A transformer's encoder layer in evaluation mode, normalising after each half or before."""
    layers, attended = multihead(
        module.self_attn, module.norm1(x) if module.norm_first else x, ignored=ignored
    )
    x = x + attended
    x = x if module.norm_first else module.norm1(x)
    inputs = module.norm2(x) if module.norm_first else x
    hidden = module.activation(module.linear1(inputs))
    layers += [Layer(linear(inputs, module.linear1.weight))]
    layers += [Layer(linear(hidden, module.linear2.weight))]
    x = x + module.linear2(hidden)
    return layers, x if module.norm_first else module.norm2(x)


def recurrent(module: nn.RNNBase, x: Tensor) -> tuple[list[Layer], Tensor]:
    """RNN (tanh), GRU or LSTM, step by step from a state of zeros; x : (T, B, N), or B first.

    One layer of products for the inputs and one for the states, a stack level and direction.
    """
    steps = x.transpose(0, 1) if module.batch_first else x
    layers: list[Layer] = []
    for level in range(module.num_layers):
        outputs = []
        for direction, suffix in _directions(module, level):
            order = steps.flip(0) if direction else steps
            parts = _one_direction(module, suffix, order)
            layers += parts[0]
            outputs.append(parts[1].flip(0) if direction else parts[1])
        steps = torch.cat(outputs, dim=-1)
    return layers, steps.transpose(0, 1) if module.batch_first else steps


def _directions(module: nn.RNNBase, level: int) -> Iterator[tuple[int, str]]:
    yield 0, f"_l{level}"
    if module.bidirectional:
        yield 1, f"_l{level}_reverse"


def _one_direction(module: nn.RNNBase, suffix: str, steps: Tensor) -> tuple[list[Layer], Tensor]:
    """steps : (T, B, N_in) in the order of reading; returns the states (T, B, N)."""
    w_in, w_state = (getattr(module, f"weight_{part}{suffix}") for part in ("ih", "hh"))
    b_in, b_state = (
        getattr(module, f"bias_{part}{suffix}") if module.bias else torch.zeros(len(w_in))
        for part in ("ih", "hh")
    )
    h = c = torch.zeros(steps.shape[1], module.hidden_size)
    inputs, states, outputs = [], [], []
    for x in steps:
        inputs.append(linear(x, w_in))
        states.append(linear(h, w_state))
        h, c = next_state(module.mode, x @ w_in.T + b_in, h @ w_state.T + b_state, h, c)
        outputs.append(h)
    return [Layer(*inputs), Layer(*states)], torch.stack(outputs)


def next_state(
    mode: str, from_input: Tensor, from_state: Tensor, h: Tensor, c: Tensor
) -> tuple[Tensor, Tensor]:
    """The next h and c of a cell, from its two projections (B, gates x N)."""
    if mode == "RNN_TANH":
        return torch.tanh(from_input + from_state), c
    x, s = (part.chunk(GATES[mode], dim=-1) for part in (from_input, from_state))
    if mode == "GRU":
        reset, update = torch.sigmoid(x[0] + s[0]), torch.sigmoid(x[1] + s[1])
        new = torch.tanh(x[2] + reset * s[2])
        return (1 - update) * new + update * h, c
    kept, taken, given = (torch.sigmoid(x[i] + s[i]) for i in (1, 0, 3))
    c = kept * c + taken * torch.tanh(x[2] + s[2])
    return given * torch.tanh(c), c
