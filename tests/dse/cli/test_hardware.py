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
    cells = [cell.strip() for cell in row.split("│")]
    # factors of the curve carry no unit
    assert cells[1:5] == ["memory.sram", "curve", "", "1 to 3.1 x curve"]
    text = done.stdout
    assert "memory: weights 8 bit, states 16 bit, activations 8 bit" in text
    assert "memory: fetch packed: an access brings as many data as fit into it" in text
    assert "memory.sram: CACTI table, 45 nm, itrs-lop cells; one access is 64 bit wide" in text
    # Horowitz's sizes in CACTI: 3.2, 7.2 and 41.8 pJ
    assert (
        "memory.sram: read: 1 KiB 0.787 pJ, 8 KiB 3.16 pJ, 32 KiB 7.23 pJ, 256 KiB 20.3 pJ, "
        "1 MiB 41.8 pJ, 4 MiB 71.8 pJ"
    ) in text
    assert "memory.sram: write: 1 KiB 1.44 pJ" in text
    assert "above 4 MiB: no figure" in text


def test_a_curve_of_points_and_the_queues_of_spikes(tmp_path):
    text = dse("hardware", "lemaire-qualia", folder=tmp_path).stdout
    assert "memory: queues of spikes hold " in text
    # 13.2 + 1.09e-05 x 8192 bits of 1 KiB = 13.289
    assert "memory.sram: read or write: 1 KiB 13.3 pJ, " in text
    points = dse("hardware", "cmos45-cache-int8", folder=tmp_path).stdout
    assert "memory.sram: 8 KiB 10 pJ, 32 KiB 20 pJ, 1024 KiB 100 pJ; " in points
    # between the logarithms of 32 KiB and 1 MiB: 20 x 5 ** (3 / 5)
    assert "256 KiB 52.5 pJ, 1 MiB 100 pJ\n" in points


def test_each_option_shows_what_holds_without_it(tmp_path):
    name = "cmos45-int8+first_layer=every-step+accumulator=32-bit"
    text = dse("hardware", name, folder=tmp_path).stdout
    for line in (
        "options, after the name: cmos45-int8+OPTION=VALUE",
        "  first_layer = once (default) | every-step (chosen)",
        "  charge.ac = dense | effective (default)",
        "  accumulator = (as listed) | 32-bit (chosen)",
        "  binary = (as listed) | bops-64",
        "  node = (as listed) | 90nm | ",
    ):
        assert line in text
    bits = dse("hardware", "cmos45-bits+bits=3", folder=tmp_path).stdout
    assert "  bits = 1 | 2 | 3 (chosen) | 4 (default) | 5 | 6 | 7" in bits


def test_numbers_have_no_needless_exponent(tmp_path):
    text = dse("hardware", "truenorth", folder=tmp_path).stdout
    thin = "\N{NARROW NO-BREAK SPACE}"
    assert f"1{thin}048{thin}576" in text and f"1{thin}000{thin}000" in text
    assert "e+06" not in text


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
