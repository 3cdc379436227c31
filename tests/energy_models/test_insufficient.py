"""Chips without a price list: the reason is told, and nothing else."""

from pathlib import Path

import pytest

from energy_models import ProfileError, list_profiles, load_profile
from energy_models.insufficient import Published, insufficient

FILE = """\
chips:
  mine:
    title: My chip
    published:
      - {figure: "3 mW", source: "my thesis"}
    missing: [energy of one event, static power]
    instead: "odin"
    profiles: [odin]
"""


def test_what_the_shipped_file_holds() -> None:
    names = [chip.name for chip in insufficient()]
    assert len(set(names)) == len(names)
    assert {"akida", "loihi-2", "northpole", "dynap-cnn", "speck", "xylo"} <= set(names)
    assert not set(names) & set(list_profiles())


def test_what_was_not_re_read_is_listed_without_its_number() -> None:
    (chip,) = (chip for chip in insufficient() if chip.name == "neurogrid")
    assert chip.missing[0] == "its value, read again in its source"
    assert "941" not in chip.reason


@pytest.mark.parametrize("chip", insufficient(), ids=lambda chip: chip.name)
def test_a_profile_of_its_name_is_refused_with_the_reason(chip) -> None:
    with pytest.raises(ProfileError) as refusal:
        load_profile(f"{chip.name}+host=cmos45-int8")
    (told,) = refusal.value.problems
    assert told == f'profile "{chip.name}": {chip.reason}'
    assert "unknown profile" not in told
    assert all(text in told for text in (*chip.missing, chip.instead))
    assert set(chip.profiles) <= set(list_profiles())


def test_spellings_of_the_same_name() -> None:
    for spelling in ("Loihi2", "loihi_2"):
        with pytest.raises(ProfileError, match="Intel Loihi 2 cannot be priced"):
            load_profile(spelling)
    # the first Loihi has two profiles, and is not mistaken for it
    with pytest.raises(ProfileError, match="unknown profile"):
        load_profile("loihi-1")


def test_a_reason_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(FILE, encoding="utf-8")
    (chip,) = insufficient(path)
    assert (chip.name, chip.published) == ("mine", (Published("3 mW", "my thesis"),))
    assert chip.reason == (
        "My chip cannot be priced. Published: 3 mW (my thesis). "
        "Missing: energy of one event; static power. Instead: odin"
    )


def test_every_mistake_of_a_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    text = FILE.replace("missing: [energy of one event, static power]", "missing: []")
    path.write_text(text.replace("figure", "figur"), encoding="utf-8")
    with pytest.raises(ProfileError) as refusal:
        insufficient(path)
    assert refusal.value.problems == (
        f"{path}:5:9: chips.mine.published.0.figure: missing. It must be given",
        f'{path}:5:10: chips.mine.published.0.figur: unknown key. Did you mean "figure"?',
        f"{path}:6:5: chips.mine.missing: "
        "Tuple should have at least 1 item after validation, not 0",
    )
