"""How numbers are printed with their unit."""

import pytest

from energy_models.units import format_count, format_energy, format_time


@pytest.mark.parametrize(
    ("energy_pj", "text"),
    [
        (0, "0 pJ"),
        (0.03, "0.03 pJ"),
        (4.6, "4.6 pJ"),
        (999, "999 pJ"),
        (1000, "1 nJ"),
        (12_345, "12.3 nJ"),
        (7_930_183.68, "7.93 µJ"),
        (13.1e9, "13.1 mJ"),
        (2e12, "2 J"),
        (-2000, "-2 nJ"),
    ],
)
def test_energy(energy_pj: float, text: str) -> None:
    assert format_energy(energy_pj) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0"), (12, "12"), (1234, "1.23 k"), (42_854_400, "42.9 M"), (1.82e9, "1.82 G")],
)
def test_count(count: float, text: str) -> None:
    assert format_count(count) == text


def test_digits() -> None:
    assert format_energy(12_345, digits=4) == "12.35 nJ"
    assert format_count(1_234_567, digits=2) == "1.2 M"
    # fewer digits than the number has before the point: never an exponent
    assert format_energy(123, digits=2) == "120 pJ"
    assert format_energy(1.234e15) == "1230 J"


@pytest.mark.parametrize(
    ("energy_pj", "text"), [(999.9, "1 nJ"), (999_999, "1 µJ"), (1e12 - 1, "1 J")]
)
def test_rounding_moves_on_to_the_next_unit(energy_pj: float, text: str) -> None:
    assert format_energy(energy_pj) == text


def test_rounding_moves_on_to_the_next_prefix() -> None:
    assert format_count(999_999) == "1 M"


@pytest.mark.parametrize(
    ("time_s", "text"),
    [(2.5, "2.5 s"), (0.004, "4 ms"), (1.8e-6, "1.8 µs"), (3.5e-9, "3.5 ns"), (0.9999e-3, "1 ms")],
)
def test_times(time_s: float, text: str) -> None:
    assert format_time(time_s) == text
