"""Hardware profiles: price lists of events, every number with its unit and its source."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, PrivateAttr, StringConstraints, Tag

from energy_models.constants import (
    Area,
    Bits,
    Constant,
    Event,
    NotNegative,
    Number,
    Polynomial,
    Positive,
    PositiveOrUnpublished,
    Power,
    Share,
    Sourced,
    Strict,
    Text,
    Time,
    one_of,
    tag_of,
)
from energy_models.events import LEFT_OUT
from energy_models.scaling import targets

Holds = Annotated[str, one_of(("neurons", "synapses"))]
OptionWord = Annotated[str, StringConstraints(pattern=r"^[^+=\s]+$")]
ChargedPairs = Literal["dense", "effective"]
Overlay = dict[
    Event,
    Annotated[
        Annotated[Constant, Tag("constant")]
        | Annotated[Share, Tag("share")]
        | Annotated[Polynomial, Tag("polynomial")],
        Discriminator(
            tag_of(
                ("share", Share, "share_of"),
                ("polynomial", Polynomial, "polynomial_pj"),
                ("constant", Constant, ""),
            )
        ),
    ],
]
Price = Annotated[
    Annotated[Constant, Tag("constant")] | Annotated[Polynomial, Tag("polynomial")],
    Discriminator(tag_of(("polynomial", Polynomial, "polynomial_pj"), ("constant", Constant, ""))),
]


class Switches(Strict):
    """Conventions on which published energies differ.

    first_layer : a layer evaluated once for several steps is charged `once`, or `every-step`
    graded : a product by a small integer k `accumulates` abs(k) times, or costs one `mac`
    neuron_updates : `counted` or `excluded`
    bias : `excluded`, or `add`: one addition per output value
    static : of a chip: its static power times the time is `counted` or `excluded`
    reuse : of memories: a weight, and an input of a dense layer, is fetched at most once per
        evaluation (`full`), or for every product anew (`none`)
    """

    first_layer: Literal["once", "every-step"] = "once"
    graded: Literal["accumulates", "mac"] = "accumulates"
    neuron_updates: Literal["counted", "excluded"] = "counted"
    bias: Literal["excluded", "add"] = "excluded"
    static: Literal["counted", "excluded"] = "counted"
    reuse: Literal["full", "none"] = "full"


SWITCHES = {
    "op-only": ("first_layer", "graded", "neuron_updates", "bias"),
    "sram": ("first_layer", "graded", "neuron_updates", "bias", "reuse"),
    "lemaire": ("first_layer",),
    "chip": ("static", "neuron_updates"),
}


class Charge(Strict):
    """Which products of a class are paid: every position, or those of two non-zero operands."""

    mac: ChargedPairs = "dense"
    ac: ChargedPairs = "effective"
    graded: ChargedPairs = "effective"
    binary: ChargedPairs = "dense"


class SramPoint(Strict):
    """Energy of one access to a memory of one size."""

    capacity_bytes: NotNegative
    access_pj: NotNegative


class Sram(Strict):
    """Energy of one access to an SRAM, as a function of its size.

    curve : `cacti` (the shipped table), `points` (given sizes, joined by lines), or `line`
    access_bits : width of one access
    node_nm, cell : of `cacti`      points, between, below, above : of `points`
    floor_pj, per_bit_pj : of `line`: floor + per_bit x bits of the memory
    low_factor, high_factor : the range of every energy of the curve, as factors of it
    """

    curve: Literal["cacti", "points", "line"]
    access_bits: Bits
    node_nm: Positive | None = None
    cell: Literal["itrs-hp", "itrs-lop"] | None = None
    points: tuple[SramPoint, ...] = ()
    between: Literal["linear", "log"] = "log"
    below: Literal["clamp", "missing"] = "clamp"
    above: Literal["clamp", "missing"] = "missing"
    floor_pj: NotNegative | None = None
    per_bit_pj: NotNegative | None = None
    low_factor: Positive | None = None
    high_factor: Positive | None = None
    range_source: str = ""
    distribution: Literal["log-uniform", "uniform"] = "log-uniform"
    basis: Literal["silicon", "fit", "estimate", "derived", "assumption"]
    source: Text
    note: str = ""


class Memory(Strict):
    """Where weights, states and activations lie, and how they are fetched.

    fetch : `packed`: an access brings as many data as fit into it; `one-access-per-datum`
    weight_bits, state_bits, activation_bits : widths of one datum; a spike has one bit
    fifo_entries : of the `lemaire` kind: places of the queues of spikes
    dram : energy of one access to the memory beyond the chip, where the SRAM is too small
    """

    sram: Sram
    fetch: Literal["packed", "one-access-per-datum"] | None = None
    weight_bits: Bits
    state_bits: Bits
    activation_bits: Bits
    fifo_entries: Bits | None = None
    dram: Constant | None = None


class Widths(Strict):
    """Widths for which the polynomials of a profile hold; `+bits=K` chooses one."""

    smallest: Bits
    largest: Bits
    default: Bits


class HardwareProfile(Strict):
    """A price list and the conventions under which it is applied.

    energy : event -> its energy; `graded` is optional, a price of its own for graded products
    power, time, capacity, area : of chips: power that flows all the time, times, how many neurons
        and synapses one chip holds, its area
    memory : of the kinds that price memory      reading : of `lemaire`: whose implementation
    caution : what a reader must know before printing any number of this profile
    host : the profile that prices, as component `host`, what this hardware cannot do
    excludes : what the profile knowingly leaves out -> the reason
    options : option -> value -> the entries of `energy` that it replaces
    """

    name: Text
    title: Text
    kind: Literal["op-only", "lemaire", "sram", "chip"]
    node_nm: PositiveOrUnpublished
    voltage_v: PositiveOrUnpublished
    number_format: Text
    reference: Text
    caution: str = ""
    switches: Switches = Switches()
    charge: Charge = Charge()
    energy: dict[Event, Price]
    power: dict[OptionWord, Power] = Field(default_factory=dict)
    time: dict[Annotated[str, one_of(("step", "ac", "host"))], Time] = Field(default_factory=dict)
    parallelism: Number | None = None
    capacity: dict[Annotated[str, one_of(("neurons", "synapses"))], Number] = Field(
        default_factory=dict
    )
    area: Area | None = None
    memory: Memory | None = None
    reading: Literal["qualia", "spikingjelly"] | None = None
    widths: Widths | None = None
    host: Text | None = None
    excludes: dict[Annotated[str, one_of(LEFT_OUT)], Text] = Field(default_factory=dict)
    options: dict[OptionWord, dict[OptionWord, Overlay]] = Field(default_factory=dict)

    _host_profile: HardwareProfile | None = PrivateAttr(default=None)

    @property
    def host_profile(self) -> HardwareProfile | None:
        """The loaded profile of `host`."""
        return self._host_profile

    @property
    def own_memory(self) -> Memory:
        """The memory of a profile whose kind has one: without it, the file was refused."""
        if self.memory is None:
            raise ValueError(f"a profile of kind {self.kind} has no memory")
        return self.memory

    @property
    def node(self) -> str:
        """`45 nm`, or that it was not published."""
        return _shown(self.node_nm, "nm", "node")

    @property
    def voltage(self) -> str:
        """`0.9 V`, or that it was not published."""
        return _shown(self.voltage_v, "V", "voltage")

    @property
    def prices(self) -> dict[str, Constant]:
        """Event -> its energy; of a loaded profile, every polynomial is a constant."""
        return {k: v for k, v in self.energy.items() if isinstance(v, Constant)}

    def constants(self) -> dict[str, Sourced]:
        """Every constant by section and name: `energy.mac`, `power.static`, `memory.dram` ..."""
        found: dict[str, Sourced] = {}
        found |= {f"energy.{name}": one for name, one in self.prices.items()}
        found |= {f"power.{name}": one for name, one in self.power.items()}
        found |= {f"time.{name}": one for name, one in self.time.items()}
        found |= {f"capacity.{name}": one for name, one in self.capacity.items()}
        lone = {
            "parallelism": self.parallelism,
            "area": self.area,
            "memory.dram": self.memory.dram if self.memory else None,
        }
        found |= {name: one for name, one in lone.items() if one is not None}
        if self.host_profile is not None:
            theirs = self.host_profile.constants()
            found |= {f"host.{name}": one for name, one in theirs.items()}
        return found

    def choices(self) -> dict[str, tuple[str, ...]]:
        """What may follow the name after `+`: option -> its values."""
        widths = self.widths
        found = {
            **{name: _values(Switches, name) for name in SWITCHES[self.kind]},
            **{
                f"charge.{name}": _values(Charge, name)
                for name in (Charge.model_fields if self.kind in ("op-only", "sram") else ())
            },
            **{name: tuple(values) for name, values in self.options.items()},
        }
        if widths is not None:
            range_ = range(widths.smallest, widths.largest + 1)
            found["bits"] = tuple(str(bits) for bits in range_)
        if self.kind == "op-only":
            nodes = targets(self.node_nm, self.voltage_v)
            found |= {"node": nodes} if nodes else {}
        if self.memory is not None and self.kind == "sram":
            found["fetch"] = ("packed", "one-access-per-datum")
            if self.memory.sram.curve == "cacti":
                found["cell"] = ("itrs-lop", "itrs-hp")
        return found

    def rows(self) -> list[dict[str, Any]]:
        """One plain row a constant: quantity, value, unit, range, width, basis, source, note."""
        rows = [{"quantity": name, **one.row()} for name, one in self.constants().items()]
        for row in rows:
            owner = (row["quantity"].startswith("host.") and self.host_profile) or self
            row["node_nm"] = row["node_nm"] or owner.node_nm
            row["voltage_v"] = row["voltage_v"] or owner.voltage_v
        return rows + _sram_rows(self)

    def to_dict(self) -> dict[str, Any]:
        """Everything that the file says, defaults filled in, options applied, and `choices`."""
        choices = {name: list(values) for name, values in self.choices().items()}
        host = self.host_profile
        return {
            **self.model_dump(mode="json"),
            "choices": choices,
            **({} if host is None else {"host_profile": host.to_dict()}),
        }

    def with_host(self, host: HardwareProfile) -> HardwareProfile:
        """The same with the loaded profile of its host."""
        found = self.model_copy(update={"host": host.name})
        found._host_profile = host
        return found


def _sram_rows(profile: HardwareProfile) -> list[dict[str, Any]]:
    """What a table says of the curve: its parameters stand in the note."""
    if profile.memory is None:
        return []
    sram = profile.memory.sram
    by_curve = {
        "cacti": f"CACTI table, {sram.node_nm or 0:g} nm, {sram.cell}",
        "points": "; ".join(
            f"{point.capacity_bytes:g} B: {point.access_pj:g} pJ" for point in sram.points
        ),
        "line": f"{sram.floor_pj} pJ + {sram.per_bit_pj} pJ per bit of the memory",
    }
    return [
        {
            "quantity": "memory.sram",
            "value": None,
            "unit": "factor",
            "low": sram.low_factor,
            "high": sram.high_factor,
            "bits": sram.access_bits,
            "scope": None,
            "node_nm": sram.node_nm or profile.node_nm,
            "voltage_v": profile.voltage_v,
            "basis": sram.basis,
            "source": sram.source,
            "note": f"{by_curve[sram.curve]} per access. {sram.note}".strip(),
            "range_source": sram.range_source,
        }
    ]


def _values(model: type[Strict], name: str) -> tuple[str, ...]:
    found: tuple[str, ...] = model.model_fields[name].annotation.__args__  # type: ignore[union-attr]
    return found


def _shown(value: float | str, unit: str, what: str) -> str:
    return f"{what} not published" if isinstance(value, str) else f"{value:g} {unit}"
