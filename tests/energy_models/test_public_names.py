"""What `energy_models` offers to the other packages."""

import subprocess
import sys

import energy_models


def test_every_public_name_exists_and_is_listed_once() -> None:
    assert energy_models.__all__ == sorted(set(energy_models.__all__))
    assert energy_models.__all__
    for name in energy_models.__all__:
        assert getattr(energy_models, name).__module__.startswith("energy_models.")


def test_errors_have_one_base() -> None:
    assert issubclass(energy_models.ProfileError, energy_models.EnergyModelError)
    assert issubclass(energy_models.CountsError, energy_models.EnergyModelError)


def test_the_room_needs_no_torch() -> None:
    code = "import sys, energy_models; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
