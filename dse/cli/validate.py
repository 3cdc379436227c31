"""`dse validate`: published figures beside what the shipped price lists make of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from dse.cli import terminal

if TYPE_CHECKING:
    from energy_models.published import Row
    from energy_models.validation import Case, Result

_GROUPS = {
    "reproduced": "reproduced",
    "explained": "explained: a convention, or what is printed, decides",
    "wrong-in-source": "wrong in their source",
    "recalled": "recalled, not read again: nothing is asserted",
    "calibration": "calibration: the constants were drawn from these figures",
    "falls-short": "silicon, measured or after layout, against a sum of events",
    "needs-input": "not computed: what is missing",
}
_BY_FACTOR = ("explained", "wrong-in-source", "falls-short")


def validate(
    name: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="one row in full, with its arithmetic")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON document")] = False,
) -> None:
    """Published figures beside ours: which come out, under which convention, and which do not.

    Most are recomputed; the reproduced ones are asserted, and so is the calibration.

    Ends with 1 if a row that should be reproduced is not within its tolerance.
    """
    from energy_models.published import published
    from energy_models.validation import recompute, row_named

    rows = published() if name is None else (row_named(name.upper()),)
    results = [recompute(row) for row in rows]
    failed = [result.row.id for result in results if result.holds is False]
    if as_json:
        terminal.as_json({"rows": [result.to_dict() for result in results], "failed": failed})
    elif name is None:
        _print_table(results)
    else:
        _print_row(results[0])
    for one in failed:
        terminal.say(f"{one}: should be reproduced, and is not within its tolerance")
    if failed:
        raise typer.Exit(1)


def _print_table(results: list[Result]) -> None:
    for verdict, title in _GROUPS.items():
        here = [result for result in results if result.row.verdict == verdict]
        if not here:
            continue
        distance = "published / ours" if verdict in _BY_FACTOR else "error"
        terminal.table(
            ("id", "source", "workload", "published", "ours", distance, "convention"),
            [_cells(result) for result in here],
            title=f"{title} ({len(here)})",
            left=("id", "source", "workload", "convention"),
        )
        if verdict in _BY_FACTOR:
            for why in dict.fromkeys(result.row.why for result in here):
                ids = ", ".join(result.row.id for result in here if result.row.why == why)
                terminal.result(f"{ids}: {why}")
        terminal.result()
    computed = [result.case for result in results if result.case is not None]
    waiting = sum(case.ours is None for case in computed)
    asserted = [result for result in results if result.holds is not None]
    within = sum(result.holds is True for result in asserted)
    terminal.result(
        f"{len(results)} published figures: {len(computed)} recomputed ({waiting} of them up to an "
        f"input that is missing), {len(asserted)} asserted"
    )
    terminal.result(f"{within} of {len(asserted)} asserted rows are within their tolerance")
    terminal.result("dse validate ID shows one row in full, with its arithmetic")


def _cells(result: Result) -> tuple[str, ...]:
    row = result.row
    case = result.case
    said = [] if case is None else [row.convention, *_implied(result, case)]
    if row.missing:
        said = [f"missing: {row.missing}", *said]
    if case is not None and case.missing and case.ours is not None:
        said.append(f"the known part: {', '.join(case.missing)}")
    for other in result.alternatives:
        said += [f"{other.convention}: {text}" for text in _implied(result, other)]
        if row.verdict in _BY_FACTOR and other.ours is not None:
            said.append(f"{other.convention}: {_number(result, other.ours)}")
    return (
        row.id,
        row.source,
        row.workload if row.kind == "paper-arithmetic" else f"{row.workload}; {_hardware(row)}",
        _published(result),
        "" if case is None else _number(result, case.ours),
        "" if case is None else _distance(result, case),
        "; ".join(text for text in said if text),
    )


def _hardware(row: Row) -> str:
    return f"{row.hardware} (after layout)" if row.kind == "post-layout" else row.hardware


def _print_row(result: Result) -> None:
    row = result.row
    terminal.result(f"{row.id}: {row.workload}")
    terminal.result(f"source: {row.source}{f', {row.doi}' if row.doi else ''}")
    terminal.result(f"hardware: {_hardware(row)}")
    terminal.result(f"published: {_published(result)} ({row.kind}, read: {row.checked})")
    if row.published.measured is not None:
        _print_measured(result)
    terminal.result(f"verdict: {_GROUPS[row.verdict]}")
    if row.missing:
        terminal.result(f"missing: {row.missing}")
    if row.why:
        terminal.result(f"why: {row.why}")
    if result.case is not None:
        _print_case(result, result.case, "ours")
    for other in result.alternatives:
        _print_case(result, other, "otherwise")
    if row.tolerance_percent is not None:
        kept = "within" if result.holds else "NOT within"
        terminal.result(f"{kept} the tolerance of {row.tolerance_percent:g} %")


def _print_measured(result: Result) -> None:
    from energy_models.units import format_energy

    measured = result.row.published.measured
    if measured is None:
        return
    fit = measured.fit()
    text = "measured: one run" if fit.runs == 1 else f"measured: {measured.take} of {fit.runs} runs"
    if fit.low_pj is not None and fit.high_pj is not None and fit.runs > 1:
        text += f", from {format_energy(fit.low_pj, 4)} to {format_energy(fit.high_pj, 4)}"
    if fit.fixed_pj is not None:
        text += f"; the line leaves {format_energy(fit.fixed_pj, 4)} at no copy"
    terminal.result(text)


def _print_case(result: Result, case: Case, label: str) -> None:
    terminal.result()
    terminal.result(f"{label}: {case.convention}")
    if case.profile:
        terminal.result(f"  price list: {case.profile}")
    for line in case.arithmetic:
        terminal.result(f"  {line}")
    if case.ours is not None:
        distance = "" if case.error_percent is None else f" ({_both(case)})"
        terminal.result(f"  result: {_number(result, case.ours)}{distance}")
    for text in _implied(result, case):
        terminal.result(f"  {text}, at which the figure would come out")
    for text in case.missing:
        terminal.result(f"  incomplete: {text}")


def _implied(result: Result, case: Case) -> list[str]:
    from energy_models.units import format_count

    if case.implied is None or result.row.unknown is None:
        return []
    return [f"implies {format_count(case.implied, 4)} {result.row.unknown.meaning}"]


def _published(result: Result) -> str:
    figure = result.row.published
    text = figure.text or f"{result.published:.5g} {figure.unit}"
    return f"{text}/{figure.per}" if figure.per else text


def _number(result: Result, value: float | None) -> str:
    return "" if value is None else f"{value:.5g} {result.row.published.unit}"


def _distance(result: Result, case: Case) -> str:
    if result.row.verdict in _BY_FACTOR:
        return "" if case.factor is None else f"{case.factor:.3g}x"
    return "" if case.error_percent is None else f"{case.error_percent:+.3f} %"


def _both(case: Case) -> str:
    factor = "" if case.factor is None else f", published / ours {case.factor:.4g}"
    return f"{case.error_percent:+.4g} %{factor}"
