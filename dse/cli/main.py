"""The command `dse`: the verbs, and how a mistake or a failure ends it."""

from __future__ import annotations

import sys
from importlib import metadata
from typing import Annotated

import typer

from dse.cli import (
    convert,
    count,
    dashboard,
    energy,
    export,
    hardware,
    report,
    rerun,
    run,
    status,
    sweeps,
    validate,
    worker,
)
from dse.errors import AskedWrongly, DseError
from energy_models.errors import EnergyModelError, ProfileError, PublishedError
from reports.errors import ReportError

_HELP = """
Which network, at which threshold, number of time steps and width, gives the accuracy that you need
for the least energy on your hardware, and can you trust that number?

First steps:

  dse run quickstart                 train a small sweep, write a report (about 2 minutes)

  dse energy net.py:build --input 1,3,32,32 --hardware cmos45-fp32

  dse convert net.py:build --weights w.safetensors --data cifar10

  dse hardware                       the price lists, with their sources

  dse validate                       published figures, most of them recomputed

Results go to standard output, progress to standard error. Ends with 0: done; 1: it ran but failed;
2: you asked for something that cannot be; 130: stopped by Ctrl-C.
"""

app = typer.Typer(
    help=_HELP,
    no_args_is_help=True,
    invoke_without_command=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.callback()
def _version(
    version: Annotated[
        bool, typer.Option("--version", help="show the version and exit", is_eager=True)
    ] = False,
) -> None:
    if version:
        print(f"dse {metadata.version('dse')}")
        raise typer.Exit


app.command("run")(run.run)
app.command("worker")(worker.worker)
app.command("status")(status.status)
app.command("rerun")(rerun.rerun)
app.command("report")(report.report)
app.command("dashboard")(dashboard.dashboard)
app.command("convert")(convert.convert)
app.command("count")(count.count)
app.command("energy")(energy.energy)
app.command("export")(export.export)
app.command("hardware")(hardware.hardware)
app.command("validate")(validate.validate)
app.command("sweeps")(sweeps.sweeps)


def main() -> None:
    """Run the command; a user's mistake shows one message, a bug its traceback."""
    try:
        app()
    except (AskedWrongly, ProfileError, PublishedError) as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except (DseError, EnergyModelError, ReportError) as error:
        print(error, file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:
        # the reader of our output (`head`, a pager) has seen enough
        sys.stderr.close()
        sys.exit(1)
    except OSError as error:
        # a full disk, a folder that may not be written: the system says what and where
        print(error, file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("stopped; what was finished is kept", file=sys.stderr)
        sys.exit(130)
