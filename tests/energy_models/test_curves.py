"""The curve that a profile names, and what makes none."""

from pathlib import Path

import numpy as np
import pytest

from energy_models import ProfileError, load_profile
from energy_models.curves import curve_of
from energy_models.profile import Sram, SramPoint
from energy_models.srams import cacti

KIB, MIB = 1024, 1024 * 1024
SIZES = np.array([256, 8 * KIB, 32 * KIB, 256 * KIB, MIB, 8 * MIB])
TOLD = {"basis": "estimate", "source": "table 2"}


def sram_of(name: str) -> Sram:
    memory = load_profile(name).memory
    assert memory is not None
    return memory.sram


@pytest.mark.parametrize(
    ("name", "expected_pj"),
    [
        # 13.2 + 1.09e-5 x 8 x bytes
        (
            "lemaire-qualia",
            [13.2223232, 13.9143424, 16.0573696, 36.0589568, 104.6358272, 744.6866176],
        ),
        # 10 x 256 / 8192; the points; 20 + 80 x 224 / 992; the last point, clamped
        ("lemaire-spikingjelly", [0.3125, 10, 20, 20 + 80 * 224 / 992, 100, 100]),
        ("lemaire-qualia-packed", [5, 5, 5, 5, 5, 5]),  # 10 / (64 // 32)
    ],
)
def test_the_shipped_readings(name: str, expected_pj: list[float]) -> None:
    curve = curve_of(sram_of(name))
    assert curve.read_pj(SIZES) == pytest.approx(expected_pj, rel=1e-12)
    assert curve.write_pj(SIZES) == pytest.approx(expected_pj, rel=1e-12)


def test_two_readings_of_the_smallest_memory_are_42_apart() -> None:
    qualia, spikingjelly = (
        float(curve_of(sram_of(f"lemaire-{name}")).read_pj(SIZES)[0])
        for name in ("qualia", "spikingjelly")
    )
    assert qualia / spikingjelly == pytest.approx(42.3, abs=0.05)  # 13.2223 / 0.3125


def test_the_shipped_table() -> None:
    sram = Sram(curve="cacti", access_bits=64, node_nm=45, cell="itrs-hp", **TOLD)
    assert curve_of(sram) == cacti(45, "itrs-hp", 64)


def test_points_take_their_ends_from_the_profile() -> None:
    points = tuple(SramPoint(capacity_bytes=b, access_pj=pj) for b, pj in ((100, 1), (200, 3)))
    sram = Sram(
        curve="points", access_bits=8, points=points, between="linear", below="missing", **TOLD
    )
    curve = curve_of(sram)
    assert curve.read_pj(np.array([150.0])) == [2]
    assert np.isnan(curve.read_pj(np.array([99.0, 201.0]))).all()
    assert (curve.access_bits, curve.source) == (8, "table 2")


@pytest.mark.parametrize(
    ("sram", "needed"),
    [
        (Sram(curve="cacti", access_bits=8, **TOLD), "node_nm and cell"),
        (Sram(curve="line", access_bits=8, **TOLD), "floor_pj and per_bit_pj"),
    ],
)
def test_a_curve_without_its_numbers_is_refused(sram: Sram, needed: str) -> None:
    with pytest.raises(ProfileError, match=f"the curve {sram.curve} needs {needed}"):
        curve_of(sram)


MINE = """\
name: mine
title: my chip
kind: lemaire
reading: qualia
node_nm: 45
voltage_v: 0.9
number_format: int32
reference: my thesis
energy:
  add: {value_pj: 0.1, bits: 32, basis: estimate, source: x}
memory:
  weight_bits: 32
  state_bits: 32
  activation_bits: 32
"""


def test_what_makes_no_curve_is_told_when_the_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    text = "  fifo_entries: 10\n  sram: {curve: cacti, access_bits: 32, node_nm: 7, "
    path.write_text(f"{MINE}{text}cell: itrs-hp, basis: estimate, source: x}}\n")
    with pytest.raises(ProfileError) as refusal:
        load_profile(str(path))
    [problem] = refusal.value.problems
    assert problem.endswith("memory.sram: CACTI table: node_nm: 7 is outside. It spans 22 to 90")


def test_what_the_lemaire_model_does_not_do_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    line = "{curve: line, access_bits: 64, floor_pj: 1, per_bit_pj: 0, basis: fit, source: x}"
    dram = "{value_pj: 600, bits: 32, basis: estimate, source: x}"
    path.write_text(f"{MINE}  sram: {line}\n  fetch: packed\n  dram: {dram}\n")
    with pytest.raises(ProfileError) as refusal:
        load_profile(str(path))
    fetch, queues, far = refusal.value.problems
    assert "memory.fetch: the lemaire model pays one access a datum" in fetch
    assert "memory.fifo_entries: missing" in queues
    assert "memory.dram: has no effect on kind lemaire" in far
