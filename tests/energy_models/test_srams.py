"""SRAM curves: CACTI between its runs, published points, a straight line over the bits."""

import csv
import itertools
import math
import time

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.interpolate import RegularGridInterpolator

from energy_models import EnergyModelError, ProfileError
from energy_models.cactitable import SHIPPED_TABLE
from energy_models.srams import (
    Beyond,
    PiecewiseCurve,
    SramCurve,
    StraightLine,
    cacti,
    points,
    straight_line,
)

KIB = 1024
MIB = 1024 * KIB
CELLS = ("itrs-hp", "itrs-lop")
NODES_NM = (22.0, 32.0, 45.0, 65.0, 90.0)
WIDTHS_BITS = (8, 32, 64)
SIZES_KIB = (1, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
COLUMNS = {
    "read_pJ": "read_pj",
    "write_pJ": "write_pj",
    "leak_mW": "leakage_mw",
    "access_ns": "access_ns",
    "area_mm2": "area_mm2",
}

with SHIPPED_TABLE.open(encoding="utf-8") as table:
    RUNS = {
        (float(row["node_nm"]), row["cell"], int(row["width_bits"]), int(row["capacity_kib"])): row
        for row in csv.DictReader(table)
    }

law = settings(deadline=None, derandomize=True)

nodes_nm = st.floats(22, 90)
widths_bits = st.integers(8, 64)
sizes_bytes = st.floats(KIB, 4 * MIB)
cells = st.sampled_from(CELLS)
quantities = st.sampled_from(sorted(COLUMNS.values()))


def horowitz() -> PiecewiseCurve:
    """Horowitz, ISSCC 2014: 64-bit accesses at 45 nm."""
    return points(
        [8 * KIB, 32 * KIB, MIB],
        [10, 20, 100],
        64,
        "Horowitz, ISSCC 2014",
        between="log",
        below="clamp",
        above="missing",
    )


def clamped_reading() -> PiecewiseCurve:
    """The straight segments of one public reading of Lemaire et al. 2022."""
    return points(
        [0, 8 * KIB, 32 * KIB, MIB],
        [0, 10, 20, 100],
        32,
        "SpikingJelly 2.0.0",
        between="linear",
        below="missing",
        above="clamp",
    )


def line_reading() -> StraightLine:
    """The straight line of the other public reading."""
    return straight_line(13.2, 1.09e-5, 32, "Qualia plugin 2.6.0")


def at(curve: SramCurve, quantity: str, *capacity_bytes: float) -> list[float]:
    found: list[float] = getattr(curve, quantity)(np.array(capacity_bytes, dtype=float)).tolist()
    return found


# --- CACTI ---------------------------------------------------------------------------------------


def test_the_table_is_a_full_grid() -> None:
    assert sorted(RUNS) == sorted(itertools.product(NODES_NM, CELLS, WIDTHS_BITS, SIZES_KIB))
    assert len(RUNS) == 360  # 5 nodes × 2 cells × 3 widths × 12 capacities


@pytest.mark.parametrize(
    ("cell", "read_pj"), [("itrs-hp", [5.3, 14.9, 67.7]), ("itrs-lop", [3.2, 7.2, 41.8])]
)
def test_45_nm_with_64_bits(cell: str, read_pj: list[float]) -> None:
    curve = cacti(45, cell, 64)
    assert at(curve, "read_pj", 8 * KIB, 32 * KIB, MIB) == pytest.approx(read_pj, abs=0.05)
    assert curve.access_bits == 64


@pytest.mark.parametrize(
    ("node_nm", "read_pj"), [(65, [8.8, 24.9, 125]), (32, [2.9, 8.5, 38.4]), (22, [1.5, 3.5, 18.4])]
)
def test_other_nodes_with_64_bits(node_nm: float, read_pj: list[float]) -> None:
    found = at(cacti(node_nm, "itrs-hp", 64), "read_pj", 8 * KIB, 32 * KIB, MIB)
    assert found == pytest.approx(read_pj, rel=0.02)  # two or three digits are written down


def test_leakage_depends_on_the_cell() -> None:
    assert at(cacti(45, "itrs-hp", 64), "leakage_mw", MIB) == pytest.approx([955], abs=0.5)
    assert at(cacti(45, "itrs-lop", 64), "leakage_mw", MIB) == pytest.approx([12], abs=0.5)


@pytest.mark.parametrize("column", COLUMNS)
def test_where_cacti_was_run_its_figure_is_returned(column: str) -> None:
    for node_nm, cell, width_bits in itertools.product(NODES_NM, CELLS, WIDTHS_BITS):
        runs = [float(RUNS[node_nm, cell, width_bits, size][column]) for size in SIZES_KIB]
        capacities = [size * KIB for size in SIZES_KIB]
        found = at(cacti(node_nm, cell, width_bits), COLUMNS[column], *capacities)
        assert found == pytest.approx(runs, rel=1e-12)


def test_half_way_on_a_logarithmic_axis_is_the_geometric_mean() -> None:
    def run(node_nm: float, width_bits: int, size_kib: int) -> float:
        return float(RUNS[node_nm, "itrs-hp", width_bits, size_kib]["read_pJ"])

    # 2 KiB: half way between 1 and 4; 16 bits: between 8 and 32; sqrt(45 × 65) nm: between both
    [found] = at(cacti(45, "itrs-hp", 64), "read_pj", 2 * KIB)
    assert found == pytest.approx(math.sqrt(run(45, 64, 1) * run(45, 64, 4)))
    [found] = at(cacti(45, "itrs-hp", 16), "read_pj", 8 * KIB)
    assert found == pytest.approx(math.sqrt(run(45, 8, 8) * run(45, 32, 8)))
    [found] = at(cacti(math.sqrt(45 * 65), "itrs-hp", 64), "read_pj", 8 * KIB)
    assert found == pytest.approx(math.sqrt(run(45, 64, 8) * run(65, 64, 8)))


@law
@given(nodes_nm, cells, widths_bits, st.lists(sizes_bytes, min_size=1, max_size=5))
def test_scipy_interpolates_the_logarithms_to_the_same(
    node_nm: float, cell: str, width_bits: int, capacities: list[float]
) -> None:
    grid = [
        [[float(RUNS[n, cell, w, s]["write_pJ"]) for s in SIZES_KIB] for w in WIDTHS_BITS]
        for n in NODES_NM
    ]
    axes = (np.log(NODES_NM), np.log(WIDTHS_BITS), np.log(np.array(SIZES_KIB) * KIB))
    # the logarithm of the last point may differ in its last bit from the end of the axis
    witness = RegularGridInterpolator(axes, np.log(grid), bounds_error=False, fill_value=None)
    places = [(np.log(node_nm), np.log(width_bits), np.log(size)) for size in capacities]
    found = at(cacti(node_nm, cell, width_bits), "write_pj", *capacities)
    assert found == pytest.approx(np.exp(witness(places)).tolist(), rel=1e-9)


@law
@given(nodes_nm, cells, widths_bits, quantities, sizes_bytes)
def test_a_capacity_lies_between_its_neighbours(
    node_nm: float, cell: str, width_bits: int, quantity: str, capacity: float
) -> None:
    sizes = [size * KIB for size in SIZES_KIB]
    below, above = max(s for s in sizes if s <= capacity), min(s for s in sizes if s >= capacity)
    curve = cacti(node_nm, cell, width_bits)
    low, found, high = at(curve, quantity, below, capacity, above)
    assert min(low, high) * (1 - 1e-12) <= found <= max(low, high) * (1 + 1e-12)


@law
@given(st.floats(45, 65), cells, st.sampled_from(WIDTHS_BITS), quantities, sizes_bytes)
def test_a_node_lies_between_its_neighbours(
    node_nm: float, cell: str, width_bits: int, quantity: str, capacity: float
) -> None:
    low, found, high = (
        at(cacti(node, cell, width_bits), quantity, capacity)[0] for node in (45, node_nm, 65)
    )
    assert min(low, high) * (1 - 1e-12) <= found <= max(low, high) * (1 + 1e-12)


@law
@given(nodes_nm, cells, st.integers(32, 64), sizes_bytes, sizes_bytes)
def test_a_larger_memory_is_dearer_to_read_with_32_bits_or_more(
    node_nm: float, cell: str, width_bits: int, one: float, other: float
) -> None:
    low, high = at(cacti(node_nm, cell, width_bits), "read_pj", *sorted((one, other)))
    assert low <= high * (1 + 1e-12)


@law
@given(
    nodes_nm,
    cells,
    widths_bits,
    st.sampled_from(["write_pj", "leakage_mw", "access_ns", "area_mm2"]),
    sizes_bytes,
    sizes_bytes,
)
def test_a_larger_memory_costs_more_of_all_but_reading(
    node_nm: float, cell: str, width_bits: int, quantity: str, one: float, other: float
) -> None:
    low, high = at(cacti(node_nm, cell, width_bits), quantity, *sorted((one, other)))
    assert low <= high * (1 + 1e-12)


def test_the_steps_where_the_larger_memory_is_cheaper_to_read() -> None:
    falls = [
        (node_nm, cell, width_bits, low, high)
        for node_nm, cell, width_bits in itertools.product(NODES_NM, CELLS, WIDTHS_BITS)
        for low, high in itertools.pairwise(SIZES_KIB)
        if float(RUNS[node_nm, cell, width_bits, high]["read_pJ"])
        <= float(RUNS[node_nm, cell, width_bits, low]["read_pJ"])
    ]
    assert falls == [
        (22, "itrs-hp", 8, 16, 32),
        (45, "itrs-hp", 8, 32, 64),
        (65, "itrs-hp", 8, 64, 128),
        (65, "itrs-lop", 8, 16, 32),
        (90, "itrs-hp", 8, 64, 128),
    ]


@law
@given(nodes_nm, nodes_nm, cells, widths_bits, sizes_bytes)
def test_a_newer_node_is_cheaper_to_access(
    one_nm: float, other_nm: float, cell: str, width_bits: int, capacity: float
) -> None:
    for quantity in ("read_pj", "write_pj", "area_mm2"):
        new, old = (
            at(cacti(node_nm, cell, width_bits), quantity, capacity)[0]
            for node_nm in sorted((one_nm, other_nm))
        )
        assert new <= old * (1 + 1e-12)


def test_under_the_smallest_run() -> None:
    clamped, refused = cacti(45, "itrs-hp", 64), cacti(45, "itrs-hp", 64, "missing")
    for quantity in COLUMNS.values():
        at_1_kib = at(clamped, quantity, KIB)
        assert at(clamped, quantity, 0.125, 1, 1023) == at_1_kib * 3
        assert np.isnan(at(refused, quantity, 0.125, 1, 1023)).all()
        assert at(refused, quantity, KIB) == at_1_kib
    assert clamped.limit_bytes == (0.125, 4 * MIB)  # from one bit
    assert refused.limit_bytes == (KIB, 4 * MIB)
    assert "below 1 KiB: the figures of 1 KiB, an upper bound" in clamped.note
    assert "below 1 KiB: no figure" in refused.note


def test_source_and_note_say_what_was_done() -> None:
    curve = cacti(45, "itrs-hp", 64)
    assert curve.source == (
        "CACTI 7 (bundled in zigzag-dse 3.9.1): SRAM, one read-write port, no ECC, 350 K, "
        "optimised for cycle time, supply voltages as CACTI's ITRS defaults; "
        "45 nm, itrs-hp, 64-bit port"
    )
    assert "above 4 MiB: no figure" in curve.note
    assert "interpolated" not in curve.note
    between = cacti(28, "itrs-hp", 16).note
    assert "28 nm interpolated between 22 and 32 nm" in between
    assert "16 bit interpolated between 8 and 32 bit" in between
    assert "nm interpolated" not in cacti(90, "itrs-hp", 16).note


@pytest.mark.parametrize(
    ("node_nm", "cell", "width_bits", "problems"),
    [
        (7, "itrs-hp", 64, ["node_nm: 7 is outside. It spans 22 to 90"]),
        (90.5, "itrs-hp", 64, ["node_nm: 90.5 is outside. It spans 22 to 90"]),
        (math.nan, "itrs-hp", 64, ["node_nm: nan is outside. It spans 22 to 90"]),
        (45, "itrs-hp", 4, ["width_bits: 4 is outside. It spans 8 to 64"]),
        (45, "itrs-hp", 128, ["width_bits: 128 is outside. It spans 8 to 64"]),
        (45, "itrs-lstp", 64, ['cell: no "itrs-lstp". It has: itrs-hp, itrs-lop']),
        (
            14,
            "hp",
            1,
            [
                "node_nm: 14 is outside. It spans 22 to 90",
                "width_bits: 1 is outside. It spans 8 to 64",
                'cell: no "hp". It has: itrs-hp, itrs-lop',
            ],
        ),
    ],
)
def test_what_the_table_does_not_span_is_refused(
    node_nm: float, cell: str, width_bits: int, problems: list[str]
) -> None:
    with pytest.raises(ProfileError) as refusal:
        cacti(node_nm, cell, width_bits)
    assert isinstance(refusal.value, EnergyModelError)
    assert refusal.value.problems == tuple(f"CACTI table: {problem}" for problem in problems)


def test_an_unknown_word_is_refused() -> None:
    with pytest.raises(ProfileError) as refusal:
        cacti(45, "itrs-hp", 64, "refuse")  # type: ignore[arg-type]
    [problem] = refusal.value.problems
    assert problem == 'CACTI curve: below: no "refuse". It must be one of: clamp, missing'


def test_many_capacities_are_fast() -> None:
    curve = cacti(45, "itrs-hp", 64)
    capacities = np.geomspace(1, 8 * MIB, 10_000)

    def seconds() -> float:
        start = time.perf_counter()
        curve.read_pj(capacities)
        return time.perf_counter() - start

    assert min(seconds() for _ in range(10)) < 0.01


# --- points and lines ----------------------------------------------------------------------------

PUBLISHED = (256, 8 * KIB, 32 * KIB, 256 * KIB, MIB, 8 * MIB)


def test_a_line_over_the_bits_gives_the_published_column() -> None:
    curve = line_reading()
    found = at(curve, "read_pj", *PUBLISHED)
    assert found == pytest.approx([13.2, 13.9, 16.1, 36, 105, 745], abs=0.5)
    # 13.2 + 1.09e-5 × 8 × 8192 = 13.2 + 0.7143424
    assert found[1] == pytest.approx(13.9143424, rel=1e-12)
    assert at(curve, "write_pj", *PUBLISHED) == found
    assert curve.limit_bytes == (0.125, math.inf)
    assert curve.access_bits == 32


def test_straight_segments_give_the_published_column() -> None:
    curve = clamped_reading()
    found = at(curve, "read_pj", *PUBLISHED)
    # 256 B: 10 × 256 / 8192; 256 KiB: 20 + 80 × (256 - 32) / (1024 - 32); 8 MiB: clamped
    expected = [0.3125, 10, 20, 20 + 80 * 224 / 992, 100, 100]
    assert found == pytest.approx(expected, rel=1e-12)
    assert found == pytest.approx([0.31, 10, 20, 38, 100, 100], abs=0.1)
    assert at(curve, "read_pj", 0) == [0]  # the first point
    assert curve.limit_bytes == (0, math.inf)
    assert curve.note == "above 1 MiB: the figure of 1 MiB; one figure for reads and writes"


def test_a_first_point_at_0_answers_from_0_whatever_is_below() -> None:
    belows: tuple[Beyond, ...] = ("clamp", "missing")
    for below in belows:
        curve = points([0, 100], [2, 4], 8, "mine", between="linear", below=below, above="clamp")
        assert at(curve, "read_pj", 0, 0.05, 50, 1000) == pytest.approx([2, 2.001, 3, 4])
        assert curve.limit_bytes == (0, math.inf)


def test_between_points_on_logarithmic_axes() -> None:
    curve = horowitz()
    found = at(curve, "read_pj", 1, 8 * KIB, 16 * KIB, 32 * KIB, 256 * KIB, MIB)
    # 16 KiB: half way, 10 × 2^(1/2); 256 KiB: 3 of 5 doublings from 20 to 100, 20 × 5^(3/5)
    expected = [10, 10, 10 * math.sqrt(2), 20, 20 * 5**0.6, 100]
    assert found == pytest.approx(expected, rel=1e-12)
    assert at(curve, "write_pj", 16 * KIB) == at(curve, "read_pj", 16 * KIB)
    assert np.isnan(at(curve, "read_pj", MIB + 1, 8 * MIB)).all()
    assert curve.limit_bytes == (0.125, MIB)
    assert curve.note == (
        "below 8 KiB: the figure of 8 KiB; above 1 MiB: no figure; one figure for reads and writes"
    )
    assert (curve.access_bits, curve.source) == (64, "Horowitz, ISSCC 2014")


def test_points_that_end_below() -> None:
    curve = points(
        [100, 200], [1, 3], 8, "mine", between="linear", below="missing", above="missing"
    )
    assert at(curve, "read_pj", 100, 150, 200) == [1, 2, 3]
    assert np.isnan(at(curve, "read_pj", 0.125, 99, 201)).all()
    assert curve.limit_bytes == (100, 200)
    assert curve.note.startswith("below 100 B: no figure; above 200 B: no figure")


def test_points_know_nothing_but_energy() -> None:
    for curve in (horowitz(), clamped_reading(), line_reading()):
        for quantity in ("leakage_mw", "access_ns", "area_mm2"):
            assert np.isnan(at(curve, quantity, KIB, 8 * KIB)).tolist() == [True, True]


ALL_CURVES: dict[str, SramCurve] = {
    "cacti": cacti(45, "itrs-hp", 64),
    "cacti, no smaller": cacti(28, "itrs-lop", 12, "missing"),
    "horowitz": horowitz(),
    "clamped": clamped_reading(),
    "line": line_reading(),
}


@pytest.mark.parametrize("name", ALL_CURVES)
@law
@given(capacity=st.floats(-1e18, 1e18) | st.sampled_from([math.nan, math.inf, -math.inf]))
@example(capacity=0.0)
@example(capacity=0.125)
@example(capacity=1024.0)
@example(capacity=4.0 * MIB)
def test_an_energy_where_the_limits_say_and_nowhere_else(name: str, capacity: float) -> None:
    curve = ALL_CURVES[name]
    smallest, largest = curve.limit_bytes
    is_inside = smallest <= capacity <= largest and math.isfinite(capacity)
    for quantity in ("read_pj", "write_pj"):
        [energy_pj] = at(curve, quantity, capacity)
        assert math.isfinite(energy_pj) == is_inside
        assert math.isnan(energy_pj) != is_inside


@pytest.mark.parametrize("name", ALL_CURVES)
def test_no_memory_and_less_than_one_has_no_energy(name: str) -> None:
    curve = ALL_CURVES[name]
    assert np.isnan(at(curve, "read_pj", -1)).all()
    if name != "clamped":  # it has a point there
        assert np.isnan(at(curve, "read_pj", 0)).all()


@pytest.mark.parametrize("name", ALL_CURVES)
def test_shapes_are_kept_and_integers_taken(name: str) -> None:
    curve = ALL_CURVES[name]
    capacities = np.array([[1, 8 * KIB, 0], [32 * KIB, MIB, 64 * MIB]])
    for quantity in COLUMNS.values():
        found = getattr(curve, quantity)(capacities)
        assert (found.shape, found.dtype) == ((2, 3), np.float64)
        one_by_one = [at(curve, quantity, capacity)[0] for capacity in capacities.ravel()]
        # one logarithm and many may differ in the last bit
        np.testing.assert_allclose(found.ravel(), one_by_one, rtol=1e-14)


def test_curves_are_values() -> None:
    assert horowitz() == horowitz()
    assert cacti(45, "itrs-hp", 64) == cacti(45, "itrs-hp", 64)
    assert cacti(45, "itrs-hp", 64) != cacti(45, "itrs-lop", 64)
    assert len({line_reading(), line_reading(), horowitz()}) == 2


@law
@given(
    st.lists(st.integers(1, 10**9), min_size=2, max_size=6, unique=True).map(sorted),
    st.data(),
    st.sampled_from(["linear", "log"]),
)
def test_a_curve_goes_through_its_points(sizes: list[int], data: st.DataObject, scale: str) -> None:
    figures = st.lists(st.floats(0.01, 1e4), min_size=len(sizes), max_size=len(sizes))
    energies_pj = data.draw(figures)
    curve = points(
        sizes,
        energies_pj,
        32,
        "drawn",
        between="linear" if scale == "linear" else "log",
        below="missing",
        above="missing",
    )
    assert at(curve, "read_pj", *sizes) == pytest.approx(energies_pj, rel=1e-6)
    inside = data.draw(st.floats(sizes[0], sizes[-1]))
    [found] = at(curve, "read_pj", inside)
    assert min(energies_pj) * (1 - 1e-9) <= found <= max(energies_pj) * (1 + 1e-9)


@pytest.mark.parametrize(
    ("sizes", "energies_pj", "between", "problems"),
    [
        ([1, 2], [1], "log", ["2 capacities for 1 energies. There must be one each"]),
        ([1], [1], "log", ["1 capacities. A curve must have two points or more"]),
        (
            [2, 1],
            [1, 1],
            "log",
            ["capacity_bytes: (2.0, 1.0) do not ascend. Each must be above the one before"],
        ),
        (
            [1, 1],
            [1, 1],
            "linear",
            ["capacity_bytes: (1.0, 1.0) do not ascend. Each must be above the one before"],
        ),
        (
            [0, 1],
            [0, 1],
            "log",
            [
                "capacity_bytes: 0 is out of place. "
                "It must be finite, and above 0, as a logarithm is taken",
                "access_pj: 0 is out of place. "
                "It must be finite, and above 0, as a logarithm is taken",
            ],
        ),
        (
            [1, 2],
            [-1, math.inf],
            "linear",
            [
                "access_pj: -1 is out of place. It must be finite, and 0 or above",
                "access_pj: inf is out of place. It must be finite, and 0 or above",
            ],
        ),
        ([1, 2], [1, 2], "cubic", ['between: no "cubic". It must be one of: linear, log']),
    ],
)
def test_points_that_make_no_curve(
    sizes: list[float], energies_pj: list[float], between: str, problems: list[str]
) -> None:
    with pytest.raises(ProfileError) as refusal:
        points(
            sizes,
            energies_pj,
            32,
            "mine",
            between=between,  # type: ignore[arg-type]
            below="clamp",
            above="clamp",
        )
    assert refusal.value.problems == tuple(f"SRAM points: {problem}" for problem in problems)


def test_options_of_points_are_checked() -> None:
    with pytest.raises(ProfileError) as refusal:
        points(
            [1, 2],
            [1, 2],
            0,
            "mine",
            between="log",
            below="refuse",  # type: ignore[arg-type]
            above="zero",  # type: ignore[arg-type]
        )
    assert refusal.value.problems == (
        'SRAM points: below: no "refuse". It must be one of: clamp, missing',
        'SRAM points: above: no "zero". It must be one of: clamp, missing',
        "SRAM points: access_bits: 0 is no width. It must be a whole number of 1 or more bits",
    )


def test_a_line_that_is_no_price() -> None:
    with pytest.raises(ProfileError) as refusal:
        straight_line(-1, math.nan, 32, "mine")
    assert refusal.value.problems == (
        "SRAM line: floor_pj: -1 is no price. It must be finite, and 0 or above",
        "SRAM line: per_bit_pj: nan is no price. It must be finite, and 0 or above",
    )
