"""Published figures: what the literature printed, with all that is needed to compute it again."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from energy_models.constants import Finite, NotNegative, Positive, Strict, Text
from energy_models.contradictions import contradictions
from energy_models.counts import ModelCounts
from energy_models.errors import PublishedError
from energy_models.layers import LayerCounts, NeuronUpdates, OpCounts
from energy_models.measured import Measured
from energy_models.profile import HardwareProfile
from energy_models.units import ENERGY_UNITS, NS_PER_MS, PERCENT
from energy_models.yamlfile import Place, YamlMistakes, read_yaml, validate

Kind = Literal["paper-arithmetic", "silicon", "post-layout"]
Quantity = Literal["energy", "power", "energy-per-event", "latency", "ratio", "saving"]
Verdict = Literal[
    "reproduced",
    "explained",
    "wrong-in-source",
    "recalled",
    "calibration",
    "falls-short",
    "needs-input",
]
Unit = Literal["J", "mJ", "µJ", "nJ", "pJ", "mW", "ms", "x", "%"]


def _factors(value: object) -> object:
    """A count as its factors; a lone number is one."""
    factors = tuple(value) if isinstance(value, list | tuple) else (value,)
    if not factors:
        raise ValueError("a list of factors has at least one")
    for one in factors:
        is_number = isinstance(one, int | float) and not isinstance(one, bool)
        if isinstance(one, str) and re.fullmatch(r"(1 - )?[a-z_]+", one):
            continue
        if not is_number or not 0 <= float(one) < math.inf:
            raise ValueError(
                "a count is a number of 0 or more, or a list of factors: numbers, the name of the "
                f"unknown, or 1 - name; {one!r} is none (powers of ten are written 6.8e+9)"
            )
    return factors


Count = Annotated[tuple[float | str, ...], BeforeValidator(_factors)]
Whole = Annotated[int, Field(strict=True, ge=0)]
FromOne = Annotated[int, Field(strict=True, ge=1)]

UNITS_OF: Mapping[str, Mapping[str, float]] = {
    "energy": dict(ENERGY_UNITS),
    "energy-per-event": dict(ENERGY_UNITS),
    "power": {"mW": 1.0},
    "latency": {"ms": NS_PER_MS},
    "ratio": {"x": 1.0},
    "saving": {"%": 1 / PERCENT},
}
_PRODUCTS = ("mac", "ac", "graded", "binary")
_REST = "1 - "
_FILE = Path(__file__).parent / "data" / "published.yaml"


class Layer(Strict):
    """One layer of a published network, per inference.

    A count is a number, or a list of factors; a factor may be the name of the unknown of the row,
    or `1 - name`. Products that are given were made: they are dense and effective alike.

    neurons, updates, spikes : neurons, their updates and the spikes they send, over all steps
    """

    name: Text
    mac: Count = (0.0,)
    ac: Count = (0.0,)
    graded: Count = (0.0,)
    graded_accumulates: Count = (0.0,)
    binary: Count = (0.0,)
    reused_steps: FromOne = 1
    neurons: Whole = 0
    updates: Count = (0.0,)
    spikes: Count = (0.0,)

    def counted(self) -> dict[str, Count]:
        """What the layer gives, by name."""
        return {name: getattr(self, name) for name in type(self).model_fields if name in _COUNTED}

    def rows(self, unknown: Mapping[str, float]) -> Iterator[LayerCounts]:
        """A row of products and a row of neurons, those that there are."""
        number = {name: _product(count, unknown) for name, count in self.counted().items()}
        if any(number[name] for name in _PRODUCTS):
            dense = {f"dense_{name}": number[name] for name in _PRODUCTS}
            products = {name: number[name] for name in (*_PRODUCTS, "graded_accumulates")}
            ops = OpCounts(**products, **dense)
            yield LayerCounts(self.name, "linear", ops=ops, reused_steps=self.reused_steps)
        if self.neurons or number["updates"] or number["spikes"]:
            yield LayerCounts(
                self.name,
                "neuron",
                neurons=self.neurons,
                updates=NeuronUpdates(compare=number["updates"]),
                spikes_out=number["spikes"],
            )


_COUNTED = (*_PRODUCTS, "graded_accumulates", "updates", "spikes")


class Counts(Strict):
    """What a published network did, per inference."""

    time_steps: FromOne = 1
    layers: tuple[Layer, ...]

    def model_counts(self, unknown: Mapping[str, float]) -> ModelCounts:
        """The count document, with a value for the unknown."""
        rows = tuple(row for layer in self.layers for row in layer.rows(unknown))
        return ModelCounts(samples=1, layers=rows, time_steps=self.time_steps)

    def words(self) -> set[str]:
        """Names of unknowns that occur."""
        return {
            factor.removeprefix(_REST)
            for layer in self.layers
            for count in layer.counted().values()
            for factor in count
            if isinstance(factor, str)
        }


class Figure(Strict):
    """The printed figure: `value` (over `divided_by`), a fit of raw logs, or words alone.

    unit : of the number; words bring their own
    per : one what (inference, frame, copy), empty where the unit says it
    """

    value: Finite | None = None
    divided_by: Positive | None = None
    measured: Measured | None = None
    text: str = ""
    unit: Unit | Literal[""] = ""
    per: str = ""

    def number(self) -> float | None:
        """In `unit`; None where there are only words."""
        if self.measured is not None:
            return self.measured.fit().value_pj / dict(ENERGY_UNITS)[self.unit]
        return None if self.value is None else self.value / (self.divided_by or 1.0)


class Unknown(Strict):
    """An input that the source does not give; the figure itself then implies it.

    assumed : the value at which the row is computed, None where it is not
    scale : the implied value is shown times this      meaning : what it then is
    """

    name: Text
    meaning: Text
    scale: Positive = 1.0
    assumed: NotNegative | None = None


class Alternative(Strict):
    """The same row under another convention; what is not given is that of the row."""

    convention: Text
    profile: Text | None = None
    counts: Counts | None = None


class Saving(Strict):
    """A saving in percent: 1 - row `of` / row `against`, the latter ours or as published."""

    of: Text
    against: Text
    against_takes: Literal["ours", "published"] = "ours"


class Row(Strict):
    """One published figure.

    checked : how far the figure was read: in a primary source, in one that quotes it, from memory
    profile : name of a price list with its options, or `price_list`: the row's own
    counts : of the network      against : of a ratio, counts of the network above the line
    convention : under which the row is computed      tolerance_percent : how far ours may lie off
    missing : the input without which nothing is computed
    """

    id: Text
    kind: Kind
    source: Text
    doi: str
    checked: Literal["primary", "secondary", "recall", "unread"]
    hardware: Text
    workload: Text
    published: Figure
    quantity: Quantity = "energy"
    verdict: Verdict
    tolerance_percent: Positive | None = None
    profile: Text | None = None
    price_list: HardwareProfile | None = None
    counts: Counts | None = None
    against: Counts | None = None
    saving: Saving | None = None
    unknown: Unknown | None = None
    convention: str = ""
    alternatives: tuple[Alternative, ...] = ()
    missing: str = ""
    why: str = ""

    @property
    def is_computed(self) -> bool:
        """Whether anything of it is computed."""
        return self.counts is not None or self.saving is not None


class _Table(Strict):
    rows: tuple[Row, ...]


def published(file: Path | None = None) -> tuple[Row, ...]:
    """The shipped table, or one of the same form.

    Raises PublishedError with every mistake at once.
    """
    return _read(_FILE if file is None else file)


@cache
def _read(file: Path) -> tuple[Row, ...]:
    try:
        data, places = read_yaml(file)
        rows = validate(data, places, _Table).rows
    except YamlMistakes as error:
        raise PublishedError(error.problems) from error
    wrong = [places.problem(place, text) for place, text in _mistakes(rows)]
    if wrong:
        raise PublishedError(wrong)
    return rows


def _product(count: Count, unknown: Mapping[str, float]) -> float:
    return math.prod(_value_of(one, unknown) if isinstance(one, str) else one for one in count)


def _value_of(factor: str, unknown: Mapping[str, float]) -> float:
    value = unknown[factor.removeprefix(_REST)]
    return 1.0 - value if factor.startswith(_REST) else value


def _mistakes(rows: tuple[Row, ...]) -> Iterator[tuple[Place, str]]:
    """Entries that are well formed each, but do not make sense side by side."""
    ids = [row.id for row in rows]
    for name, times in Counter(ids).items():
        if times > 1:
            yield ("rows", ids.index(name), "id"), f"{name} is given {times} times. Keep one"
    for index, row in enumerate(rows):
        for place, text in _of_row(row, ids):
            yield ("rows", index, *place), f"{text} ({row.id})"


def _of_row(row: Row, ids: list[str]) -> Iterator[tuple[Place, str]]:
    figure = row.published
    given = [figure.value is not None, figure.measured is not None, bool(figure.text)]
    if sum(given) != 1:
        yield ("published",), "give one of value, measured and text"
    units = UNITS_OF[row.quantity]
    if not figure.text and figure.unit not in units:
        known = ", ".join(units)
        yield ("published", "unit"), f"must be a unit of {row.quantity}. It has: {known}"
    if (row.counts is not None) != ((row.profile is None) != (row.price_list is None)):
        yield ("counts",), "counts need one of profile and price_list, and the other way round"
    if (row.quantity == "ratio" and row.counts is not None) != (row.against is not None):
        yield ("against",), "is for ratios that are computed, and those need it"
    if (row.quantity == "saving") != (row.saving is not None):
        yield ("saving",), "is for the quantity saving, which needs it"
    if row.price_list is not None:
        for place, text in contradictions(row.price_list):
            yield ("price_list", *place), text
    if row.saving is not None:
        for one in ("of", "against"):
            if getattr(row.saving, one) not in ids:
                yield ("saving", one), f"there is no row {getattr(row.saving, one)}"
    yield from _of_verdict(row)
    yield from _of_unknown(row)


def _of_verdict(row: Row) -> Iterator[tuple[Place, str]]:
    is_asserted = row.verdict in ("reproduced", "calibration")
    if is_asserted != (row.tolerance_percent is not None):
        yield ("tolerance_percent",), "is for reproduced and calibration, and those need it"
    if (is_asserted or row.verdict == "falls-short") and not row.is_computed:
        yield ("verdict",), f"{row.verdict}, but nothing is computed. Give counts"
    if (row.verdict == "recalled") != (row.checked == "recall"):
        yield ("verdict",), "a figure from memory is recalled, and no other is"
    if row.verdict == "needs-input" and not row.missing:
        yield ("missing",), "missing. Say what a row with the verdict needs-input lacks"
    if row.is_computed and not row.convention:
        yield ("convention",), "missing. A row that is computed says how"


def _of_unknown(row: Row) -> Iterator[tuple[Place, str]]:
    known = set() if row.unknown is None else {row.unknown.name}
    used: set[str] = set()
    for counts in (row.counts, row.against, *(one.counts for one in row.alternatives)):
        used |= set() if counts is None else counts.words()
    if used != known:
        names = ", ".join(sorted(used ^ known))
        yield ("unknown",), f"the unknown and the names among the factors differ: {names}"
