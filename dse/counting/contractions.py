"""Contractions: matrix products and distances that ATen fuses with something else.

Each function takes the arguments of its ATen operator and makes the same result with elementary
products.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from dse.counting.backends import dense
from dse.errors import ExpansionRefused

# a sparse factor with more elements is not made dense for the count: 1 GiB in 32 bits
LARGEST_DENSE = 2**28
_REDUCTIONS = ("sum", "mean", "amax")
_EIGHT_BITS = (torch.float8_e4m3fn, torch.float8_e5m2)


def dense_call(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same operator, with sparse operands and those of oneDNN's own layout made dense.

    A product with a sparse factor has dense positions too, and its zeros are not effective.
    """

    def expansion(*args: Any, **options: Any) -> Any:
        for leaf in tree_leaves((args, options)):
            is_sparse = isinstance(leaf, Tensor) and leaf.layout is not torch.strided
            if is_sparse and leaf.numel() > LARGEST_DENSE:
                raise ExpansionRefused(
                    f"a sparse product with {leaf.numel()} positions is too large to look at"
                )
        args, options = tree_map(dense, (args, options))
        return function(*args, **options)

    return expansion


def trilinear(
    i1: Tensor,
    i2: Tensor,
    i3: Tensor,
    expand1: Sequence[int],
    expand2: Sequence[int],
    expand3: Sequence[int],
    sumdim: Sequence[int],
    unroll_dim: int = 1,
) -> Tensor:
    """`_trilinear` as nn.Bilinear calls it: x1 W_o, then its product with x2, as the kernel does.

    i1 : (B, N_1)      i2 : the weight, (N_out, N_1, N_2)      i3 : (B, N_2)
    Raises ExpansionRefused for any other trilinear form.
    """
    form = [list(one) for one in (expand1, expand2, expand3, sumdim)]
    if form != [[1, 3], [0], [1, 2], [2, 3]]:
        raise ExpansionRefused("a trilinear form other than that of nn.Bilinear is not counted")
    outputs, _, features = i2.shape
    by_weight = torch.mm(i1, i2.transpose(0, 1).flatten(1)).view(-1, outputs, features)
    return torch.bmm(by_weight, i3.unsqueeze(2)).squeeze(2)


def distances(x1: Tensor, x2: Tensor, p: float, compute_mode: int | None) -> Tensor:
    """`_cdist_forward`. x1 : (..., P, M)      x2 : (..., R, M)      returns (..., P, R)

    The Euclidean distance squares each difference: P R M products. Others have none.
    """
    return _length(x1.unsqueeze(-2) - x2.unsqueeze(-3), p)


def pair_distances(x: Tensor, p: float = 2.0) -> Tensor:
    """`_pdist_forward`: the distances of every pair of rows of x, (N, M)."""
    first, second = torch.triu_indices(len(x), len(x), offset=1, device=x.device)
    return _length(x[first] - x[second], p)


def euclidean_distances(x1: Tensor, x2: Tensor) -> Tensor:
    """`_euclidean_dist`, which `cdist` is for many rows: |x1|^2 - 2 x1 x2 + |x2|^2."""
    cross = torch.matmul(x1, x2.transpose(-2, -1))
    rows, columns = _squares(x1).unsqueeze(-1), _squares(x2).unsqueeze(-2)
    return (rows - 2 * cross + columns).clamp_min(0).sqrt()


def embedding_bag(
    weight: Tensor,
    indices: Tensor,
    offsets: Tensor,
    scale_grad_by_freq: bool = False,
    mode: int = 0,
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int = -1,
) -> Tensor:
    """`_embedding_bag`: rows of a table, reduced by bag; only factors of the rows make products.

    weight : (rows, D)      indices : (N,)      offsets : where each bag begins
    """
    bags = len(offsets) - include_last_offset
    places = torch.arange(len(indices), dtype=offsets.dtype, device=indices.device)
    bag = torch.searchsorted(offsets[:bags].contiguous(), places, right=True) - 1
    kept = indices != padding_idx
    rows, bag = weight[indices[kept]], bag[kept]
    if per_sample_weights is not None:
        factors = per_sample_weights[kept]
        rows = torch.bmm(factors.view(-1, 1, 1), rows.unsqueeze(1)).squeeze(1)
    result = rows.new_zeros(bags, weight.shape[1])
    into = bag.unsqueeze(1).expand_as(rows)
    return result.scatter_reduce(0, into, rows, _REDUCTIONS[mode], include_self=False)


def integer_product(left: Tensor, right: Tensor) -> Tensor:
    """`_int_mm`, in float32, which has as many bits as the factors need."""
    return torch.mm(left.float(), right.float())


def sum_of_products(
    base: Tensor, batch1: Tensor, batch2: Tensor, *, beta: float = 1, alpha: float = 1
) -> Tensor:
    """`addbmm`. batch1 : (b, n, k)      batch2 : (b, k, m)"""
    return beta * base + alpha * torch.bmm(batch1, batch2).sum(dim=0)


def added_outer_product(
    base: Tensor, vec1: Tensor, vec2: Tensor, *, beta: float = 1, alpha: float = 1
) -> Tensor:
    """`addr`: one product for each pair of elements, as `outer` has."""
    return torch.addmm(base, vec1.unsqueeze(1), vec2.unsqueeze(0), beta=beta, alpha=alpha)


def vector_products(x: Tensor, y: Tensor, *, dim: int = -1) -> Tensor:
    """`linalg_vecdot`: a dot product for every pair of vectors along a dimension."""
    x, y = torch.broadcast_tensors(x, y)
    left, right = x.movedim(dim, -1), y.movedim(dim, -1)
    rows, columns = left.reshape(-1, 1, left.shape[-1]), right.reshape(-1, right.shape[-1], 1)
    return torch.bmm(rows, columns).view(left.shape[:-1])


def activated_product(
    base: Tensor,
    mat1: Tensor,
    mat2: Tensor,
    *,
    beta: float = 1,
    alpha: float = 1,
    use_gelu: bool = False,
) -> Tensor:
    """`_addmm_activation`."""
    product = torch.addmm(base, mat1, mat2, beta=beta, alpha=alpha)
    return F.gelu(product) if use_gelu else F.relu(product)


def grouped_product(
    left: Tensor,
    right: Tensor,
    offs: Tensor | None = None,
    bias: Tensor | None = None,
    out_dtype: torch.dtype | None = None,
) -> Tensor:
    """`_grouped_mm`: a product a group; `offs` says where each ends, in what is not batched.

    left : (n, k) or (g, n, k)      right : (k, m) or (g, k, m)
    Raises ExpansionRefused with a bias.
    """
    if bias is not None:
        raise ExpansionRefused("a grouped product with a bias is not counted")
    if offs is None:
        return torch.bmm(left, right)
    ends = offs.tolist()
    sizes = [end - start for start, end in zip([0, *ends], ends, strict=False)]
    groups = zip(*_groups(left, right, sizes), strict=True)
    products = [torch.mm(one, other) for one, other in groups]
    if left.dim() == right.dim() == 2:
        return torch.stack(products)
    return torch.cat(products, dim=0 if left.dim() == 2 else 1)


def scaled_product(
    left: Tensor,
    right: Tensor,
    scale_a: Tensor,
    scale_b: Tensor,
    bias: Tensor | None = None,
    scale_result: Tensor | None = None,
    out_dtype: torch.dtype | None = None,
    use_fast_accum: bool = False,
) -> Tensor:
    """`_scaled_mm` of 8-bit numbers, with one scale a tensor, or one a row and a column.

    Raises ExpansionRefused for packed 4-bit numbers and for scales of blocks.
    """
    rows, columns = (left.shape[0], 1), (1, right.shape[1])
    is_by_tensor = scale_a.numel() == scale_b.numel() == 1
    if left.dtype not in _EIGHT_BITS or right.dtype not in _EIGHT_BITS:
        raise ExpansionRefused(f"a scaled product of {left.dtype} is not counted")
    if not is_by_tensor and (scale_a.shape, scale_b.shape) != (rows, columns):
        raise ExpansionRefused("a product with scales of blocks is not counted")
    product = torch.mm(left.float(), right.float()) * scale_a * scale_b
    product = product if bias is None else product + bias
    return product if out_dtype is None else product.to(out_dtype)


def product_with_bytes(x: Tensor, weight: Tensor, scales: Tensor) -> Tensor:
    """`_weight_int8pack_mm`. x : (n, k), real      weight : (m, k), 8 bits      scales : (m,)"""
    return torch.mm(x, weight.t().to(x.dtype)) * scales


def _length(difference: Tensor, p: float) -> Tensor:
    """The p-norm of the last dimension; squares are products, other powers are not."""
    if p != 2:
        return torch.linalg.vector_norm(difference, p, dim=-1)
    return _squares(difference).sqrt()


def _squares(x: Tensor) -> Tensor:
    """The sum of squares over the last dimension, as products of x with itself."""
    rows = x.reshape(math.prod(x.shape[:-1]), 1, x.shape[-1])
    return torch.bmm(rows, rows.transpose(1, 2)).view(x.shape[:-1])


def _groups(
    left: Tensor, right: Tensor, sizes: Sequence[int]
) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
    """Both factors of every group."""
    last = sum(sizes)
    if left.dim() == 3:
        return left.unbind(), right.narrow(1, 0, last).split(sizes, dim=1)
    if right.dim() == 3:
        return left.narrow(0, 0, last).split(sizes), right.unbind()
    inner = left.narrow(1, 0, last).split(sizes, dim=1)
    return inner, right.narrow(0, 0, last).split(sizes)
