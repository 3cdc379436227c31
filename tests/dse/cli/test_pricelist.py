"""A price list as texts: numbers, names, options, and the same words in terminal and page."""

import pytest

from dse.cli import pricelist
from dse.errors import HardwareError
from energy_models import list_profiles, load_profile

THIN = "\N{NARROW NO-BREAK SPACE}"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (45.0, "45"),
        (0.0, "0"),
        (4.6, "4.6"),
        (1300.0, "1300"),
        (35.5, "35.5"),
        (1e6, f"1{THIN}000{THIN}000"),
        (2.0**20, f"1{THIN}048{THIN}576"),
        (1.09e-05, "0.0000109"),
        (2 / 3, "0.666667"),
        (123456.789, f"123{THIN}457"),
    ],
)
def test_numbers(value, shown):
    assert pricelist.number(value) == shown


def test_every_constant_of_every_profile_reads_as_a_number():
    assert len(list_profiles()) > 30
    for name in list_profiles():
        profile = load_profile(name)
        shown = pricelist.constants(profile)
        assert len(shown) == len(profile.rows())
        for one in shown:
            if one.value == "curve":
                assert one.quantity == "memory.sram" and not one.unit
                assert not one.range or one.range.endswith(" x curve")
                continue
            number = float(one.value.replace(THIN, ""))
            assert number == pytest.approx(profile.constants()[one.quantity].value, rel=1e-5)
            assert "e" not in one.value + one.range.replace("curve", "")
        # of each option one value holds without it
        for line in pricelist.option_lines(profile):
            assert line.count("(default)") + line.count("(as listed)") == 1, line
        assert bool(list(pricelist.memory_lines(profile))) == (profile.memory is not None)


def test_the_name_without_options():
    assert pricelist.base_name("a+b.yaml+first_layer=once") == "a+b.yaml"
    assert pricelist.base_name("loihi-fit+host=cmos45-int8+accumulator=32-bit") == "loihi-fit"


def test_an_option_of_the_host_is_none_of_the_chip():
    name = "truenorth+static=excluded+host=cmos45-int8+neuron_updates=excluded"
    lines = list(pricelist.option_lines(load_profile(name)))
    assert lines == [
        "static = counted (default) | excluded (chosen)",
        "neuron_updates = counted (default) | excluded",
    ]


def test_names_with_commas():
    assert pricelist.profile_names(" a , b+x=y") == ("a", "b+x=y")
    for text in ("", " ", "a,", ",a", "a,,b"):
        with pytest.raises(HardwareError, match="a name is empty"):
            pricelist.profile_names(text)
