"""The build hook: libraries where there is a compiler, and a package without one."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import hatch_build

ROOT = Path(__file__).parents[2]


class Screen:
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def display_warning(self, text: str) -> None:
        self.warnings.append(text)


def initialised(root: Path) -> tuple[dict, list[str]]:
    screen, build_data = Screen(), {"artifacts": []}
    hook = hatch_build.KernelHook(str(root), {}, None, None, "", "", app=screen)
    hook.initialize("standard", build_data)
    return build_data, screen.warnings


@pytest.fixture
def small_tree(tmp_path: Path) -> Path:
    """Sources that compile at once."""
    for source in (hatch_build.COUNTING, hatch_build.NEURONS):
        (tmp_path / source).parent.mkdir(parents=True)
        (tmp_path / source).write_text("int of_no_use;\n")
    return tmp_path


@pytest.mark.parametrize("compiler", ["false", "a-compiler-that-is-nowhere"])
def test_without_a_compiler_the_package_is_pure_and_says_so(
    monkeypatch: pytest.MonkeyPatch, small_tree: Path, compiler: str
) -> None:
    monkeypatch.setenv("CC", compiler)
    monkeypatch.setenv("CXX", compiler)
    build_data, [warning] = initialised(small_tree)
    assert build_data == {"artifacts": []}
    assert "no compiler that works for libkernel.so, libneurons-plain.so" in warning
    assert not list(small_tree.rglob("*.so"))


@pytest.mark.skipif(not (shutil.which("cc") and shutil.which("c++")), reason="no compiler")
def test_with_compilers_every_library_is_made_for_this_platform(small_tree: Path) -> None:
    build_data, warnings = initialised(small_tree)
    assert warnings == []
    assert {Path(path) for path in build_data["artifacts"]} == set(hatch_build.libraries())
    assert build_data["pure_python"] is False
    assert build_data["tag"].startswith("py3-none-")
    assert all((small_tree / path).is_file() for path in hatch_build.libraries())


@pytest.mark.skipif(not shutil.which("cc"), reason="no compiler")
def test_what_can_be_made_is_made(monkeypatch: pytest.MonkeyPatch, small_tree: Path) -> None:
    monkeypatch.setenv("CXX", "false")
    build_data, [warning] = initialised(small_tree)
    assert build_data["artifacts"] == ["dse/counting/libkernel.so"]
    assert "libkernel.so" not in warning


def test_a_library_that_is_old_does_not_stay(
    monkeypatch: pytest.MonkeyPatch, small_tree: Path
) -> None:
    monkeypatch.setenv("CC", "false")
    monkeypatch.setenv("CXX", "false")
    for path in hatch_build.libraries():
        (small_tree / path).write_bytes(b"of another version")
    assert hatch_build.compile_all(small_tree) == []
    assert not list(small_tree.rglob("*.so"))


def test_a_compiler_that_knows_no_threads_is_asked_again_without(small_tree: Path) -> None:
    for path, commands in hatch_build.libraries().items():
        if path.name.startswith("libneurons"):
            assert "-fopenmp" in commands[0]
            assert [part for part in commands[0] if part != "-fopenmp"] == commands[1]


def test_spikes_need_products_and_sums_rounded_apart() -> None:
    for path, commands in hatch_build.libraries().items():
        for command in commands:
            assert ("-ffp-contract=off" in command) == path.name.startswith("libneurons")
            assert "-ffast-math" not in command


def test_a_named_compiler_may_have_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "env c++")
    commands = hatch_build.libraries()[hatch_build.NEURONS.with_name("libneurons-plain.so")]
    assert all(command[:2] == ["env", "c++"] for command in commands)


@pytest.mark.slow
def test_neurons_work_where_nothing_was_compiled(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "dse", tmp_path / "dse", ignore=shutil.ignore_patterns("*.so"))
    code = (
        "import torch\n"
        "from dse.neurons import kernel\n"
        "from dse.neurons.spiking import IntegrateFire\n"
        "from dse.neurons.surrogates import Arctan\n"
        "spikes = IntegrateFire(1.0, 0.5, 'hard', Arctan(2.0))(torch.full((4, 1, 1), 0.8))\n"
        "print(kernel.available(), spikes.flatten().tolist())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    # u = 0.8, 1.2 -> 0, 0.8, 1.2
    assert done.stdout.split(" ", 1) == ["False", "[0.0, 1.0, 0.0, 1.0]\n"]
