"""Broken sweep files: each is refused with all that is wrong in it, before torch is loaded.

A file of `broken_sweeps/` says in its last comments what is said of it, a line a mistake, without
the name of the file.
"""

import subprocess
import sys
from pathlib import Path

import pytest
from command import environment

from dse import inventory
from dse.errors import ConfigError

FOLDER = Path(__file__).parent / "broken_sweeps"
FILES = sorted(FOLDER.glob("*.yaml"))
HEADING = "# what is said of it:\n"
# runs the command on every file in one process: torch would be seen if one of them had loaded it
EVERY = """
import sys, time
from pathlib import Path
from dse.cli.main import main
for file in sorted(Path(sys.argv[1]).glob("*.yaml")):
    start_s = time.perf_counter()
    sys.argv = ["dse", "run", str(file)]
    try:
        main()
        code = 0
    except SystemExit as end:
        code = end.code
    loaded = [name for name in ("torch", "optuna") if name in sys.modules]
    print(file.name, code, loaded, round(time.perf_counter() - start_s, 3))
"""


def expected(file: Path) -> list[str]:
    _, found, comments = file.read_text(encoding="utf-8").partition(HEADING)
    assert found, f"{file.name} does not say what is wrong with it"
    return [line.removeprefix("# ") for line in comments.splitlines()]


def test_there_are_fifty() -> None:
    assert len(FILES) >= 50


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_mistake_of_it_is_told_with_its_place(file: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        inventory.load_sweep(file)
    problems = [one.removeprefix(f"{file}:") for one in caught.value.problems]
    assert [one.replace(f"{FOLDER}/", "") for one in problems] == expected(file)


def test_the_command_refuses_each_and_trains_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", EVERY, str(FOLDER)],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    rows = [line.split(maxsplit=2) for line in done.stdout.splitlines()]
    assert [name for name, *_ in rows] == [file.name for file in FILES]
    assert {code for _, code, _ in rows} == {"2"}
    assert all(rest.startswith("[] ") for *_, rest in rows), rows
    assert "Traceback" not in done.stderr
    said = sum(len(expected(file)) for file in FILES)
    assert len(done.stderr.splitlines()) == said
    assert not (tmp_path / "runs").exists()
