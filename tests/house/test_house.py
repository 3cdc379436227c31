"""The house: four packages, what ships, and the habits that a test can hold."""

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("dse", "energy_models", "reports", "sweeps")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def test_there_are_sources():
    assert len(SOURCES) > 50


def test_the_distribution_names_its_four_packages():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == list(PACKAGES)


def test_every_dependency_says_which_file_needs_it():
    text = (ROOT / "pyproject.toml").read_text()
    project = tomllib.loads(text)["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    for requirement in wanted:
        [line] = [line for line in text.splitlines() if line.strip().startswith(f'"{requirement}"')]
        assert "#" in line, line


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_says_in_its_first_line_what_it_is_for(path):
    text = path.read_text()
    if not text.strip():
        assert path.name == "__init__.py"
        return
    docstring = ast.get_docstring(ast.parse(text))
    assert docstring, path
    assert docstring.splitlines()[0].endswith("."), docstring.splitlines()[0]
    assert len(text.splitlines()) <= 400


def test_powers_of_ten_stand_in_one_file():
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in SOURCES
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(r"[*/] ?1e-?(3|6|9|12)\b", line) and path.name != "units.py"
    ]
    assert found == []


def test_tests_do_not_shadow_the_packages():
    assert list((ROOT / "tests").rglob("__init__.py")) == []


def test_only_the_command_prints():
    for path in SOURCES:
        if "cli" not in path.parts:
            calls = [
                node
                for node in ast.walk(ast.parse(path.read_text()))
                if isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id == "print"
            ]
            assert not calls, path


def test_public_names_exist():
    code = (
        "import dse, energy_models\n"
        "assert all(hasattr(energy_models, name) for name in energy_models.__all__)\n"
        "import sys; assert 'torch' not in sys.modules\n"
        "assert callable(dse.count)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_the_wheel_holds_the_packages_and_their_data(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    [wheel] = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert tops == set(PACKAGES)
    for name in (
        "energy_models/hardware/cmos45-fp32.yaml",
        "energy_models/data/published.yaml",
        "energy_models/py.typed",
        "reports/page.html.j2",
        "reports/page.css",
        "sweeps/quickstart.yaml",
        "dse/py.typed",
    ):
        assert name in names
