"""`dse report`: build the report of a run again, also on other hardware; nothing is trained."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dse.cli import families, terminal
from dse.cli import target as targets
from dse.errors import AskedWrongly

_WHAT = "dse report: must be given runs, or --study URL --name NAME --out DIR and nothing else"
# A front of hundreds of points has some shown layer by layer, and `dse energy RUN#17.3` shows any;
# a thousand draws of ten thousand points take minutes, of which only those near the front matter.
_MOST_LAYERED, _MOST_DRAWN = 8, 300

if TYPE_CHECKING:
    from dse.config import SweepConfig
    from dse.runfolder import RunFolder
    from energy_models import BreakEven, HardwareProfile
    from reports.data import LayerRate, Opponent, Profile, ReportData
    from reports.evidence import EnergyDraws
    from reports.points import LayerRow
    from reports.record import Key, TrialRecord
    from reports.text import EnergyUnits


def report(
    runs: Annotated[
        list[str] | None, typer.Argument(metavar="[RUN...]", help="run folders, or names in runs/")
    ] = None,
    hardware: Annotated[
        str | None,
        typer.Option(help="price the stored counts on these profiles instead (names with commas)"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="write into this folder instead of the run's own")
    ] = None,
    study: Annotated[
        str | None, typer.Option(help="a study of your own instead: URL of its Optuna storage")
    ] = None,
    name: Annotated[str | None, typer.Option(help="name of that study")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON document")] = False,
) -> None:
    """(Re)build report.html, pareto.csv, trials.csv, layers.csv and figures/ of each run.

    Of a sweep with repeats also families.csv and families.md, designs side by side over seeds; of
    one with converted networks also conversions.csv.

    `--study URL --name NAME --out DIR` makes tables and figures of any Optuna study.

    The report of an earlier call in the same folder is replaced.
    """
    from dse import inventory
    from dse.pricing import fingerprint
    from reports.page import write_report

    pages = {}
    if study is not None or name is not None or not runs:
        if runs or study is None or name is None or out is None or hardware is not None:
            raise AskedWrongly(_WHAT)
        from dse.cli.otherstudy import report_data as of_study

        pages[name] = str(write_report(of_study(study, name), out))
        if not as_json:
            terminal.result(f"report: {pages[name]}")
        runs = []
    for run in runs:
        folder = targets.open_run(run)
        config = inventory.load_begun(folder.sweep_file)
        records = folder.records()
        if hardware is None:
            folder.refuse_changed({name: fingerprint(name) for name in config.hardware})
        else:
            config, records = _priced_again(folder, config, records, hardware)
        where = folder.path if out is None else out / folder.path.name
        with folder.lock():  # a run that ends now writes its report, too
            data = report_data(folder, config, records)
            pages[run] = str(write_report(data, where))
        if not as_json:
            for line in (
                *families.lines(data),
                *front_lines(records, config, data.energy_draws),
            ):
                terminal.result(line)
            terminal.result(f"report: {pages[run]}")
    if as_json:
        terminal.as_json({"reports": pages})


def front_lines(
    records: Sequence[TrialRecord], config: SweepConfig, draws: EnergyDraws | None = None
) -> list[str]:
    """The front as aligned lines; with draws, how sure each point of it is."""
    from dse.selection import objectives
    from reports import text
    from reports.evidence import evidence, open_order

    wanted = objectives(config)
    if draws is None:
        return text.front_lines(records, wanted, config.hardware, units())
    found = evidence(records, wanted, draws)
    shares = found.front_probability
    lines = text.front_lines(records, wanted, config.hardware, units(), shares)
    return [*lines, *([open_order(found)] if found.pairs else [])]


def energy_draws(
    folder: RunFolder, config: SweepConfig, records: Sequence[TrialRecord]
) -> EnergyDraws | None:
    """The energy objectives, priced again with constants drawn from their ranges.

    Of very many records those near the front: no other one will come to lie on it.
    """
    from dse import pricing
    from dse.selection import front, nearest, objectives

    wanted = {
        column.name: one.hardware
        for column, one in zip(objectives(config), config.objectives, strict=True)
        if one.hardware is not None
    }
    near = {one.key for one in (*nearest(records, config, _MOST_DRAWN), *front(records, config))}
    counts = [
        pricing.admit(folder.counts(record), config.allow_uncounted)
        if record.key in near and record.counts_file is not None
        else None
        for record in records
    ]
    return pricing.energy_draws(counts, wanted) if wanted else None


def _spread(front: Sequence[TrialRecord], config: SweepConfig) -> list[TrialRecord]:
    """Points of a front that get figures of their layers: of a long one some, with its ends."""
    from dse.selection import objective_values, spread

    values = [objective_values(record, config) for record in front]
    return [front[index] for index in spread(values, config, _MOST_LAYERED)]


def report_data(
    folder: RunFolder, config: SweepConfig, records: Sequence[TrialRecord]
) -> ReportData:
    """Join what the engine, the energy models and the counts know into what the report shows."""
    from dse import inventory
    from dse.cli.recipe import recipe_text
    from dse.pricing import admit
    from dse.selection import best_of_each_variant, budget_text, front, objectives
    from energy_models import estimate, load_profile
    from energy_models.estimate import other_numbers
    from reports.data import ReportData, SweepSummary
    from reports.points import LayerRow

    loaded = [load_profile(name) for name in config.hardware]
    best = best_of_each_variant(records, config.hardware[0])
    shown = _spread(front(records, config), config)
    chosen = {record.key: record for record in (*shown, *best)}
    points = [record for _, record in sorted(chosen.items())]
    layers: dict[Key, dict[str, list[LayerRow]]] = {}
    assumptions: dict[str, None] = {}
    warnings: list[str] = []
    not_counted: dict[str, None] = {}
    for record in points:
        counts = folder.counts(record)
        unknown = [f"{name}: no counting rule; admitted by name" for name in counts.uncounted]
        seen = [
            f"{name}: {entry.get('class', 'element-wise')}, seen and not priced"
            for name, entry in counts.not_priced.items()
        ]
        said = dict.fromkeys(counts.warnings)
        not_counted.update(dict.fromkeys([*unknown, *seen]))
        counts = admit(counts, config.allow_uncounted)
        layers[record.key] = {}
        for name, profile in zip(config.hardware, loaded, strict=True):
            breakdown = estimate(counts, profile)
            said.update(dict.fromkeys(breakdown.warnings))
            mismatch = other_numbers(counts, profile)
            assumptions.update({mismatch: None} if mismatch else {})
            layers[record.key][name] = [
                LayerRow(layer=row["layer"], component=row["component"], energy_pj=row["energy_pj"])
                for row in breakdown.rows()
            ]
        assumptions.update(dict.fromkeys(counts.assumptions))
        warnings += [f"point {record.name}: {text}" for text in said]
    return ReportData(
        run=str(folder.path),
        question=config.question,
        sweep=SweepSummary(
            variants=config.variants,
            architecture=config.architecture,
            data=config.data.name,
            training=recipe_text(config.training),
            seed=config.seed,
            budget=budget_text(config, inventory.space(config)),
            name=config.name,
        ),
        objectives=objectives(config),
        profiles=tuple(_profile(profile) for profile in loaded),
        units=units(),
        records=tuple(records),
        layers=layers,
        uncounted=tuple(not_counted),
        warnings=tuple(warnings),
        assumptions=tuple(assumptions),
        data_notes=tuple(
            dict.fromkeys(
                note for record in records for note in record.notes if note not in record.own_notes
            )
        ),
        environment=_flat(folder.environment()),
        commands={
            record.key: f"dse rerun {shlex.quote(str(folder.path))}#{record.name}"
            for record in records
        },
        remake=(
            shlex.join(["dse", "run", str(folder.sweep_file), "--out", "NEW_FOLDER"]),
            shlex.join(["dse", "report", str(folder.path)]),
        ),
        citation=_citations(config),
        energy_draws=energy_draws(folder, config, records),
        opponents=tuple(_opponents(folder, config, points, loaded)),
        work=families.work_of_records(folder, config, records),
        readings=families.readings_of(config.variants),
    )


def _opponents(
    folder: RunFolder,
    config: SweepConfig,
    points: Sequence[TrialRecord],
    profiles: Sequence[HardwareProfile],
) -> Iterator[Opponent]:
    """The ANN of the same shape beside each point, on each profile."""
    from dse.pricing import admit, opponents
    from reports.data import Opponent

    for point in points:
        counts = admit(folder.counts(point), config.allow_uncounted)
        for profile in profiles:
            for one, found in opponents(counts, profile):
                yield Opponent(
                    point=point.name,
                    profile=profile.name,
                    name=one.name,
                    energy_pj=one.total_pj,
                    same_numbers_pj=one.same_numbers_pj,
                    break_even=found.network.text,
                    rate=found.network.measured_rate,
                    accuracy=one.accuracy_note,
                    network_on=one.network_on,
                    layers=tuple(_layer_rates(found)),
                )


def _layer_rates(found: BreakEven) -> Iterator[LayerRate]:
    from reports.data import LayerRate

    for layer in found.layers:
        yield LayerRate(layer.name, layer.text, layer.measured_rate)


def _priced_again(
    folder: RunFolder, config: SweepConfig, records: Sequence[TrialRecord], hardware: str
) -> tuple[SweepConfig, list[TrialRecord]]:
    """The same run on other hardware: the first profile prices the energy objectives."""
    from dse.cli.pricelist import profile_names
    from dse.pricing import admit, price

    names = profile_names(hardware)
    again = []
    for record in records:
        energy = {}  # one that was stopped has energies, and no counts to price again
        if record.counts_file is not None:
            counts = folder.counts(record)
            energy = price(admit(counts, config.allow_uncounted), names)
        again.append(replace(record, energy=energy))
    if any(one.hardware for one in config.objectives):
        _refuse_without_total(folder, again, names[0])
    wanted = tuple(
        one.model_copy(update={"hardware": names[0]}) if one.hardware else one
        for one in config.objectives
    )
    return config.model_copy(update={"hardware": names, "objectives": wanted}), again


def _refuse_without_total(folder: RunFolder, records: Sequence[TrialRecord], profile: str) -> None:
    """Keep an earlier report from being replaced by one whose front must be empty.

    Raises HardwareError, with each reason once, if no complete record has a total on the profile.
    """
    from dse.errors import HardwareError
    from dse.pricing import by_reason

    complete = [record for record in records if record.state == "complete"]
    if not complete or any(record.energy_pj(profile) is not None for record in complete):
        return
    missing = [
        text for record in complete for text in record.energy.get(profile, {}).get("missing", ())
    ]
    reasons = by_reason(list(dict.fromkeys(missing))) or "it was not priced"
    raise HardwareError(
        f'{folder.path}: hardware "{profile}" has a total for not one of {len(complete)} complete '
        f"trials: {reasons}. No report was written; put a profile first that prices them"
    )


def _profile(profile: HardwareProfile) -> Profile:
    from dse.cli import pricelist
    from energy_models.estimate import conventions
    from reports.data import Constant
    from reports.data import Profile as Shown

    return Shown(
        name=profile.name,
        title=profile.title,
        node=profile.node,
        voltage=profile.voltage,
        number_format=profile.number_format,
        reference=profile.reference,
        constants=tuple(Constant(**asdict(one)) for one in pricelist.constants(profile)),
        conventions=(*pricelist.memory_lines(profile), *conventions(profile)),
    )


def units() -> EnergyUnits:
    from energy_models.units import ENERGY_UNITS
    from reports.text import EnergyUnits

    return EnergyUnits(ENERGY_UNITS)


def _flat(environment: Mapping[str, object]) -> dict[str, str]:
    """Versions and machine as lines of text."""
    found: dict[str, str] = {}
    for name, value in environment.items():
        if isinstance(value, Mapping):
            found.update({str(key): str(inner) for key, inner in value.items() if inner})
        else:
            found[name] = str(value)
    return found


def _citations(config: SweepConfig) -> tuple[str, ...]:
    from energy_models import load_profile

    ours = "The dse authors, dse: design-space exploration of energy-efficient neural networks"
    references = (load_profile(name).reference for name in config.hardware)
    return tuple(dict.fromkeys([ours, *references]))
