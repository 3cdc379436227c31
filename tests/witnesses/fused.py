"""Fused operators, beside their expansions: the same result, and the products that were seen."""

import math

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from dse.counting.expansions import EXPANSIONS

aten = torch.ops.aten
_MATRIX = {aten.mm: 0, aten.bmm: 0, aten.mv: 0, aten.dot: 0, aten.addmm: 1, aten.baddbmm: 1}


class Products(TorchDispatchMode):
    """Listens; `products` holds (operator, pairs multiplied) of each product it sees.

    factors : the two factors of each, as the operator got them
    fused : the operators seen that have an expansion; the expansion runs in their place
    """

    def __init__(self):
        super().__init__()
        self.products = []
        self.factors = []
        self.fused = []

    @property
    def dense(self):
        return sum(pairs for _, pairs in self.products)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        packet = func._overloadpacket
        if packet in EXPANSIONS:
            self.fused.append(packet.__name__)
            return self.expanded(func, args, kwargs)
        if packet not in _MATRIX and packet is not aten.convolution and _is_composite(func):
            with self:
                return func.decompose(*args, **kwargs)
        output = func(*args, **kwargs)
        if packet in _MATRIX:
            first = _MATRIX[packet]
            left, right = args[first : first + 2]
            columns = right.shape[-1] if right.dim() > 1 else 1
            self._see(packet, left, right, left.numel() * columns)
        elif packet is aten.convolution:
            places = args[0] if args[6] else output
            pairs = len(places) * math.prod(places.shape[2:]) * args[1].numel()
            self._see(packet, args[0], args[1], pairs)
        return output

    def expanded(self, func, args, kwargs):
        """What stands for the fused operator."""
        with self:
            EXPANSIONS[func._overloadpacket](*args, **kwargs)
        return func(*args, **kwargs)

    def _see(self, packet, left, right, pairs):
        self.products.append((packet.__name__, pairs))
        self.factors.append((left, right))


class Recomputed(Products):
    """As `Products`, and fails where an expansion's result is not the operator's own."""

    def __init__(self, rtol=1e-5, atol=1e-5):
        super().__init__()
        self.rtol, self.atol = rtol, atol

    def expanded(self, func, args, kwargs):
        real = func(*args, **kwargs)
        with self:
            again = EXPANSIONS[func._overloadpacket](*args, **kwargs)
        compare(again, real, self.rtol, self.atol)
        return real


def compare(again, real, rtol=1e-5, atol=1e-5):
    """Fails unless the tensors of `again` are the first ones of `real`, quantised to one step."""
    found = tree_leaves(again)
    expected = tree_leaves(real)[: len(found)]
    assert found
    for one, other in zip(found, expected, strict=True):
        if other.is_quantized:
            assert (one.q_scale(), one.q_zero_point()) == (other.q_scale(), other.q_zero_point())
            one, other = one.int_repr().int(), other.int_repr().int()
            assert (one - other).abs().max() <= 1
            assert (one != other).float().mean() <= 0.02
            continue
        other = other.to_dense() if other.layout is not torch.strided else other
        assert one.shape == other.shape
        torch.testing.assert_close(one.to(other.dtype), other, rtol=rtol, atol=atol)


def watch(function, *args, rtol=1e-5, atol=1e-5, context=torch.no_grad, **options):
    """Run a function under `Recomputed`."""
    with context(), Recomputed(rtol, atol) as seen:
        function(*args, **options)
    return seen


def _is_composite(func):
    return func._can_decompose() and torch._C._dispatch_has_kernel_for_dispatch_key(
        func.name(), torch._C.DispatchKey.CompositeImplicitAutograd
    )
