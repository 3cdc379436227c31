"""`dse dashboard`: a run's study in the browser, by optuna-dashboard."""

from __future__ import annotations

from typing import Annotated
from wsgiref.simple_server import WSGIRequestHandler, make_server

import typer

from dse.cli import target as targets
from dse.cli import terminal
from dse.errors import AskedWrongly

_HOST = "127.0.0.1"  # it has no password, and a button that deletes a study


def dashboard(
    run: Annotated[str, typer.Argument(metavar="RUN", help="run folder, or its name under runs/")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free")] = 8080,
    storage: Annotated[
        str | None, typer.Option(help="URL of the run's storage, if it has a password")
    ] = None,
) -> None:
    """Show the study of a run in the browser, also while it runs; Ctrl-C ends it.

    Only this machine can see it. Everything in the database of --storage is shown, other runs too.
    """
    folder = targets.open_run(run)
    try:
        import optuna_dashboard
    except ModuleNotFoundError as error:
        raise AskedWrongly(
            f"dse dashboard: the package {error.name} is missing: must be installed, with "
            "pip install '.[dashboard]'"
        ) from error
    from dse.storage import kept_in

    app = optuna_dashboard.wsgi(kept_in(folder, storage or folder.settings()["storage"]))
    with make_server(_HOST, port, app, handler_class=_Quiet) as server:
        terminal.result(f"http://{_HOST}:{server.server_port}/dashboard/")
        server.serve_forever()


class _Quiet(WSGIRequestHandler):
    """Says nothing of each request."""

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""
