"""Energy units: the only powers of ten of the house, and how a number is printed with its unit."""

from decimal import Decimal

PJ_PER_NJ = 1e3
PJ_PER_UJ = 1e6
PJ_PER_MJ = 1e9
PJ_PER_J = 1e12
PJ_PER_MW_NS = 1.0  # 1e-3 W x 1e-9 s = 1e-12 J
NS_PER_S = 1e9
NS_PER_MS = 1e6
PERCENT = 100
BYTES_PER_KIB = 1024
LARGEST = 1e18  # in whatever unit of a constant: more is a mistake, and sums would overflow
BITS_PER_BYTE = 8

# symbol and size in pJ, largest first
ENERGY_UNITS = (
    ("J", PJ_PER_J),
    ("mJ", PJ_PER_MJ),
    ("µJ", PJ_PER_UJ),
    ("nJ", PJ_PER_NJ),
    ("pJ", 1.0),
)
_THIN_SPACE = "\N{NARROW NO-BREAK SPACE}"
_GROUPED_FROM = 10_000  # shorter numbers are read at a glance
_TIME_UNITS = (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6))
_COUNT_STEPS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def format_energy(energy_pj: float, digits: int = 3) -> str:
    """An energy with the unit that keeps the number between 1 and 1000: `12.3 nJ`."""
    for unit, size_pj in ENERGY_UNITS:
        if abs(_rounded(energy_pj, digits)) >= size_pj:
            return f"{_rounded(energy_pj / size_pj, digits):.15g} {unit}"
    return f"{_rounded(energy_pj, digits):.15g} pJ"


def format_time(time_s: float, digits: int = 3) -> str:
    """A time with the unit that keeps the number between 1 and 1000: `1.8 µs`."""
    for unit, size_s in _TIME_UNITS:
        if abs(_rounded(time_s / size_s, digits)) >= 1:
            return f"{_rounded(time_s / size_s, digits):.15g} {unit}"
    return f"{_rounded(time_s * NS_PER_S, digits):.15g} ns"


def format_count(count: float, digits: int = 3) -> str:
    """A count with a decimal prefix: `1.23 M`; below a thousand as it is."""
    for size, prefix in _COUNT_STEPS:
        if abs(_rounded(count, digits)) >= size:
            return f"{_rounded(count / size, digits):.15g} {prefix}"
    return f"{_rounded(count, digits):.15g}"


def format_plain(value: float, digits: int = 6) -> str:
    """At most six digits and no exponent, whole numbers in full: `45`, `0.0087`, `1 048 576`."""
    is_whole = float(value).is_integer()
    exact = Decimal(int(value)) if is_whole else Decimal(f"{value:.{digits}g}")
    is_long = abs(exact) >= _GROUPED_FROM
    return f"{exact:,f}".replace(",", _THIN_SPACE) if is_long else f"{exact:f}"


def _rounded(value: float, digits: int) -> float:
    """To significant digits, before the unit is chosen: 999.9 is 1000 at three digits."""
    return float(f"{value:.{digits}g}")
