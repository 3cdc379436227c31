"""`dse hardware`: the list, one price list in full, and what has none."""

import json

import pytest
from command import dse

from energy_models import list_profiles
from energy_models.insufficient import insufficient


def test_the_list_names_every_profile_and_every_chip_without_one(tmp_path):
    done = dse("hardware", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(list_profiles()) > 30
    for name in (*list_profiles(), *(chip.name for chip in insufficient())):
        assert name in done.stdout
    assert "public numbers do not suffice" in done.stdout


def test_a_profile_shows_everything_that_a_constant_says(tmp_path):
    done = dse("hardware", "loihi-fit", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    text = done.stdout
    assert "chip, 14 nm, voltage not published" in text
    row = next(line for line in text.splitlines() if "energy.ac " in line)
    for cell in ("35.5", "pJ", "33.6 to 35.5", "unpublished", "14 nm", "fit, marginal", "[1]"):
        assert cell in row
    assert "[1] SANA-FE" in text
    assert "arXiv 1812.01739" in text
    assert "left out: hop:" in text
    assert "host = NAME of an op-only profile" in text


def test_a_curve_is_shown_as_one(tmp_path):
    done = dse("hardware", "cmos45-sram-int8", folder=tmp_path)
    row = next(line for line in done.stdout.splitlines() if "memory.sram" in line)
    assert "curve" in row
    assert "1 to 3.1 x curve" in row


def test_the_document_lists_every_constant(tmp_path):
    document = json.loads(dse("hardware", "odin", "--json", folder=tmp_path).stdout)
    quantities = {row["quantity"]: row for row in document["constants"]}
    assert quantities["energy.ac"]["value"] == document["energy"]["ac"]["value_pj"] == 8.43
    assert quantities["power.leakage"]["unit"] == "mw"
    assert all(row["source"] and row["basis"] for row in document["constants"])
    everything = json.loads(dse("hardware", "--json", folder=tmp_path).stdout)
    assert everything["akida"]["kind"] == "unpriced"
    assert set(list_profiles()) < set(everything)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("akida", 'profile "akida": BrainChip Akida AKD1000 cannot be priced.'),
        ("loihi_fit", 'unknown profile. Did you mean "loihi-fit"?'),
        ("loihi-fit+host=truenorth", 'host "truenorth" is of kind chip'),
        ("loihi-fit+hots=cmos45-int8", 'unknown option. Did you mean "host"?'),
    ],
)
def test_what_there_is_not(tmp_path, name, told):
    done = dse("hardware", name, folder=tmp_path)
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr
