"""Matrix products, distances and tables that ATen fuses: the same result, product by product."""

import pytest
import torch
import torch.nn.functional as F
from fused import Products, compare, watch
from torch import nn

from dse.counting import contractions
from dse.counting.expansions import EXPANSIONS
from dse.errors import ExpansionRefused

aten = torch.ops.aten
CONTEXTS = [torch.enable_grad, torch.no_grad, torch.inference_mode]


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def same(operator, *arguments, tolerance=1e-5, **options):
    """Compare the expansion with the operator's own kernel; returns its products."""
    with torch.no_grad():
        with Products() as seen:
            again = EXPANSIONS[operator](*arguments, **options)
        compare(again, operator(*arguments, **options), rtol=tolerance, atol=tolerance)
    return seen


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("leading", [(7,), (2, 3)])
def test_bilinear(context, leading):
    layer = nn.Bilinear(4, 5, 3)
    x, y = torch.randn(*leading, 4), torch.randn(*leading, 5)
    seen = watch(layer, x, y, context=context)
    rows = 7 if leading == (7,) else 6
    # rows x 4 x (3 x 5) with the weight, then 3 dot products of 5 a row
    assert seen.products == [("mm", rows * 60), ("bmm", rows * 15)]


def test_another_trilinear_form_is_refused():
    x = torch.randn(2, 3)
    with pytest.raises(ExpansionRefused, match=r"nn\.Bilinear"):
        contractions.trilinear(x, x, x, [1], [1], [1], [2])


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("p", [0.0, 1.0, 2.0, 3.0, float("inf")])
@pytest.mark.parametrize("leading", [(), (2,), (2, 3)])
def test_distances(context, p, leading):
    x, y = torch.randn(*leading, 4, 3), torch.randn(*leading, 5, 3)
    seen = watch(torch.cdist, x, y, p, context=context)
    assert seen.fused == ["_cdist_forward"]
    # the Euclidean distance squares 4 x 5 x 3 differences; the others multiply nothing
    batches = 1
    for size in leading:
        batches *= size
    assert seen.dense == (batches * 60 if p == 2 else 0)


@pytest.mark.parametrize("rows", [(30, 30), (26, 4)])
def test_distances_of_many_rows(rows):
    x, y = torch.randn(rows[0], 6), torch.randn(rows[1], 6)
    seen = watch(torch.cdist, x, y, rtol=1e-3, atol=1e-3)
    assert seen.fused == ["_euclidean_dist"]
    # every pair x 6, and the squares of each row
    assert seen.dense == rows[0] * rows[1] * 6 + sum(rows) * 6


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0])
def test_distances_of_pairs(p):
    seen = watch(F.pdist, torch.randn(5, 3), p)
    assert seen.fused == ["_pdist_forward"]
    # 10 pairs x 3
    assert seen.dense == (30 if p == 2 else 0)


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("padding_idx", [None, 2])
@pytest.mark.parametrize("include_last_offset", [False, True])
@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_embedding_bags(context, mode, padding_idx, include_last_offset, dtype):
    options = {"padding_idx": padding_idx, "include_last_offset": include_last_offset}
    layer = nn.EmbeddingBag(6, 3, mode=mode, **options)
    indices = torch.tensor([0, 2, 5, 2, 1, 1, 3], dtype=dtype)
    offsets = torch.tensor([0, 2, 2, 6, 7][: 5 if include_last_offset else 4], dtype=dtype)
    seen = watch(layer, indices, offsets, context=context)
    assert len(seen.fused) == 1
    assert seen.fused[0].startswith("_embedding_bag")
    assert seen.dense == 0
    if mode == "sum":
        seen = watch(layer, indices, offsets, torch.randn(7), context=context)
        # 7 rows of 3, of which 2 are padding
        assert seen.dense == (21 if padding_idx is None else 15)


def test_a_bag_for_each_row():
    seen = watch(
        nn.EmbeddingBag(6, 3, mode="sum"), torch.tensor([[0, 1], [2, 2]]), None, torch.ones(2, 2)
    )
    assert seen.dense == 12


def test_products_by_other_names():
    a, b = torch.randn(3, 4), torch.randn(4, 5)
    batch = torch.randn(2, 3, 4), torch.randn(2, 4, 5)
    base = torch.randn(3, 5)
    # 2 x 3 x 4 x 5
    assert same(aten.addbmm, base, *batch, beta=0.5, alpha=2.0).products == [("bmm", 120)]
    # 3 x 5
    assert same(aten.addr, base, a[:, 0], b[0], beta=0.5, alpha=2.0).products == [("addmm", 15)]
    assert same(aten.vdot, a[0], a[1]).products == [("dot", 4)]
    # 3 x 4 x 5
    for use_gelu in (False, True):
        seen = same(aten._addmm_activation, base[0], a, b, use_gelu=use_gelu, tolerance=1e-3)
        assert seen.products == [("addmm", 60)]


@pytest.mark.parametrize("dim", [-1, 0, 1])
def test_products_of_vectors(dim):
    x, y = torch.randn(3, 4, 5), torch.randn(4, 5) if dim else torch.randn(3, 1, 5)
    # every element of the larger one
    assert same(aten.linalg_vecdot, x, y, dim=dim).products == [("bmm", 60)]


def test_integer_products():
    left = torch.randint(-128, 128, (32, 24), dtype=torch.int8)
    right = torch.randint(-128, 128, (24, 16), dtype=torch.int8)
    # 32 x 24 x 16, exactly
    assert same(aten._int_mm, left, right, tolerance=0).dense == 12288


def test_products_with_weights_of_eight_bits():
    x, weight = torch.randn(3, 32).bfloat16(), torch.randint(-128, 128, (16, 32), dtype=torch.int8)
    seen = same(aten._weight_int8pack_mm, x, weight, torch.rand(16).bfloat16(), tolerance=2e-2)
    assert seen.dense == 3 * 32 * 16


@pytest.mark.parametrize("left", [(8, 16), (2, 4, 16)])
@pytest.mark.parametrize("right", [(16, 8), (2, 16, 8)])
def test_grouped_products(left, right):
    a, b = torch.randn(left).bfloat16(), torch.randn(right).bfloat16()
    offs = None if a.dim() == b.dim() == 3 else torch.tensor([3, 8], dtype=torch.int32)
    if a.dim() == b.dim() == 2:
        offs = torch.tensor([8, 16], dtype=torch.int32)
    seen = same(aten._grouped_mm, a, b, offs, tolerance=2e-2)
    # each row or column belongs to one group; with two batches, or split along k, likewise
    expected = {(2, 2): 8 * 16 * 8, (2, 3): 8 * 16 * 8, (3, 2): 4 * 16 * 8, (3, 3): 2 * 4 * 16 * 8}
    assert seen.dense == expected[a.dim(), b.dim()]


def test_a_group_without_rows():
    a, b = torch.randn(4, 16).bfloat16(), torch.randn(3, 16, 8).bfloat16()
    offs = torch.tensor([1, 1, 4], dtype=torch.int32)
    seen = same(aten._grouped_mm, a, b, offs, tolerance=2e-2)
    assert [pairs for _, pairs in seen.products] == [128, 0, 384]


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_scaled_products(dtype):
    a, b = (torch.randn(16, 32), torch.randn(16, 32))
    a, b = a.to(dtype), b.to(torch.float8_e4m3fn).t()
    scales = torch.tensor(0.5), torch.tensor(2.0)
    seen = same(aten._scaled_mm, a, b, *scales, out_dtype=torch.float32, tolerance=1e-3)
    # 16 x 32 x 16 on the numbers themselves
    assert seen.dense == 8192
    assert torch.equal(seen.factors[0][0], a.float())


def test_scales_of_blocks_are_refused():
    a, b = torch.zeros(4, 8).to(torch.float8_e4m3fn), torch.zeros(8, 4).to(torch.float8_e4m3fn)
    with pytest.raises(ExpansionRefused, match="blocks"):
        contractions.scaled_product(a, b, torch.ones(4, 2), torch.ones(2, 4))
    with pytest.raises(ExpansionRefused, match="float32"):
        contractions.scaled_product(a.float(), b.float(), torch.ones(()), torch.ones(()))
    result = contractions.scaled_product(a, b, torch.ones(4, 1), torch.ones(1, 4))
    assert result.shape == (4, 4)


SPARSE = torch.tensor([[0.0, 1.5, 0.0, 0.0], [0.0, 0.0, 0.0, -2.0], [0.0, 0.0, 0.0, 0.0]])


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
@pytest.mark.parametrize("layout", [torch.sparse_coo, torch.sparse_csr])
def test_sparse_factors(layout):
    sparse, b, base = SPARSE.to_sparse(layout=layout), torch.randn(4, 5), torch.randn(3, 5)
    seen = watch(torch.sparse.mm, SPARSE.to_sparse(), b)
    # 3 x 4 x 5 positions, of which 2 x 5 have a factor
    assert seen.products == [("addmm", 60)]
    assert int((seen.factors[0][0] != 0).sum()) == 2
    for call, arguments in [
        (aten.mm, (sparse, b)),
        (aten.addmm, (base, sparse, b)),
        (aten.mv, (sparse, b[:, 0])),
        (aten.mm, (b.t(), SPARSE.t().to_sparse(layout=layout))),
    ]:
        with Products() as seen:
            again = contractions.dense_call(call)(*arguments)
        compare(again, call(*arguments))
        assert seen.dense == (12 if call is aten.mv else 60)


def test_two_sparse_factors():
    seen = same(aten._sparse_sparse_matmul, SPARSE.to_sparse(), SPARSE.t().to_sparse())
    # 3 x 4 x 3
    assert seen.dense == 36
    with Products() as seen:
        contractions.dense_call(torch.bmm)(SPARSE.expand(2, 3, 4).to_sparse(), torch.randn(2, 4, 5))
    assert seen.dense == 120


def test_a_sparse_factor_that_is_too_large_to_be_made_dense():
    place = torch.tensor([[0], [0]])
    large = torch.sparse_coo_tensor(place, torch.ones(1), (2**20, 2**20), check_invariants=False)
    with pytest.raises(ExpansionRefused, match="1099511627776 positions"):
        contractions.dense_call(torch.mm)(large, torch.zeros(2**20, 1))
