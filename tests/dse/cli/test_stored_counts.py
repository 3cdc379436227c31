"""A count document as a target: priced again, with intervals, without the model."""

import json

import pytest
from command import dse

from energy_models import LayerCounts, ModelCounts, NeuronUpdates, OpCounts, estimate, load_profile

COUNTS = ModelCounts(
    samples=2,
    time_steps=4,
    layers=(
        LayerCounts("conv", "convolution", ops=OpCounts(mac=80, dense_mac=100), reused_steps=4),
        LayerCounts(
            "lif",
            "neuron",
            neurons=10,
            updates=NeuronUpdates(integrate=40, compare=40),
            spikes_out=6,
            fed_by=("conv",),
        ),
        LayerCounts("fc", "linear", ops=OpCounts(ac=60, dense_ac=400), spikes_in=6),
    ),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("counts")
    (folder / "counts.json").write_text(json.dumps(COUNTS.to_dict()))
    return folder


def test_stored_counts_are_priced(folder):
    names = ["cmos45-fp32", "truenorth+host=cmos45-int8"]
    done = dse("energy", "counts.json", "--hardware", ",".join(names), "--json", folder=folder)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    for name in names:
        assert document[name]["total_pj"] == estimate(COUNTS, load_profile(name)).total_pj
    chip = document["truenorth+host=cmos45-int8"]
    # four ticks of 1 ms, and a host for a time that nobody knows
    assert chip["latency_s"] is None
    assert any("the chip takes 4 ms" in text for text in chip["assumptions"])
    # 64.4 mW for 4 ms
    assert chip["network"]["static"] == pytest.approx(64.4e9 * 0.004)
    # 100 * 0.23 on the host
    assert chip["layers"][0]["energy_pj"] == {"host": pytest.approx(23.0)}


def test_what_a_reader_sees_beside_the_total(folder):
    done = dse(
        "energy",
        "counts.json",
        "--hardware",
        "truenorth+host=cmos45-int8",
        "--uncertainty",
        "--seed",
        "5",
        folder=folder,
    )
    assert done.returncode == 0, done.stderr
    name = "truenorth+host=cmos45-int8"
    for line in (
        f"{name}: total 258 µJ",
        "time: the chip takes 4 ms",
        f"{name}: 95 % of 1000 draws lie from low to high",
        "drawn 1000 times, seed 5: energy.ac: 2.208 to 2.385 pJ; power.static: 63.8 to 65.1 mW",
        "without a range, so fixed: host.energy.mac: 0.23 pJ; time.step: ",
    ):
        assert line in done.stdout
    headings, tables = zip(*map(rows_of, done.stdout.split("┏")[1:]), strict=True)
    summary, layers, intervals = tables[:3]
    assert headings[0] == [
        *("profile", "total", "synaptic compute", "host", "static", "input output")
    ]
    assert summary == [[name, "258 µJ", "138 pJ", "23 pJ", "258 µJ", "0 pJ"]]
    assert headings[1] == ["layer", "operator", *headings[0][2:], "total"]
    # 60 x 2.297 and 100 x 0.23; 4 ms of 64.4 mW belong to no layer
    assert layers == [
        ["conv", "convolution", "", "23 pJ", "", "", "23 pJ"],
        ["lif", "neuron", "", "", "", "", "0 pJ"],
        ["fc", "linear", "138 pJ", "", "", "", "138 pJ"],
        ["(network)", "", "", "", "258 µJ", "0 pJ", "258 µJ"],
        ["total", "", "138 pJ", "23 pJ", "258 µJ", "0 pJ", "258 µJ"],
    ]
    assert headings[2] == ["component", "low", "median", "high", "as priced"]
    assert [row[0] for row in intervals] == ["total", *headings[0][2:]]
    assert intervals[2] == ["host", "23 pJ", "23 pJ", "23 pJ", "23 pJ"]
    # 4 ms of 63.8 to 65.1 mW
    low, median, high = (float(cell.removesuffix(" µJ")) for cell in intervals[3][1:4])
    assert 255 <= low < median < high <= 260.5


def rows_of(table):
    """The heading and the rows of a printed table, without its lines."""
    cells = [
        [cell.strip() for cell in line[1:-1].replace("┃", "│").split("│")]
        for line in table.splitlines()
        if line[:1] in ("┃", "│")
    ]
    return cells[0], cells[1:]


def test_a_row_a_profile_with_the_components_of_all(folder):
    names = "cmos45-fp32,truenorth"
    done = dse("energy", "counts.json", "--hardware", names, "--uncertainty", folder=folder)
    assert done.returncode == 1
    heading, rows = rows_of(done.stdout.split("┏")[1])
    assert heading == [
        *("profile", "total", "synaptic compute", "neuron updates", "static", "input output"),
        "latency",
    ]
    # 100 x 4.6 + 60 x 0.9; 40 integrations and 40 comparisons of 0.9
    assert rows[0] == ["cmos45-fp32", "586 pJ", "514 pJ", "72 pJ", "", "", ""]
    assert rows[1] == [
        *("truenorth", "incomplete, known 258 µJ", "138 pJ", "", "258 µJ", "0 pJ", "4 ms")
    ]
    lines = done.stdout.splitlines()
    assert "cmos45-fp32: total 586 pJ" in lines
    # the layer without a price says so, in the table of its profile alone
    _, layers = rows_of(done.stdout.split("┏")[3])
    assert layers[0] == ["conv", "convolution", "", "", "", "incomplete, known 0 pJ"]
    assert layers[-1][-1] == "incomplete, known 258 µJ"
    assert "│ known part " in done.stdout


def test_a_profile_without_ranges_says_it_in_one_line(folder):
    done = dse(
        "energy", "counts.json", "--hardware", "odin+host=cmos45-int8", "--uncertainty",
        folder=folder,
    )  # fmt: skip
    assert "lie from low to high" not in done.stdout
    assert "odin+host=cmos45-int8: no constant that this network uses has a range" in done.stdout
    bare = dse(
        "energy", "counts.json", "--hardware", "lemaire-qualia", "--uncertainty", folder=folder
    )
    assert "lemaire-qualia: no constant of this profile has a range" in bare.stdout


def test_an_incomplete_total_ends_with_1(folder):
    done = dse("energy", "counts.json", "--hardware", "truenorth", folder=folder)
    assert done.returncode == 1
    assert "truenorth: incomplete; known part" in done.stdout
    assert "incomplete: conv: no energy for mac: this is a spiking chip" in done.stderr


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "is not a count document, as `dse count --json` prints it"),
        ("[1, 2]", "is not a count document, as `dse count --json` prints it: it holds list, and "),
        ('{"schema": 99}', "schema is 99; this version reads 1"),
        ("[" * 100000, "mine.json: "),
    ],
)
def test_a_file_that_is_none(tmp_path, text, told):
    (tmp_path / "mine.json").write_text(text)
    done = dse("energy", "mine.json", folder=tmp_path)
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert "object has no attribute" not in done.stderr


def test_a_file_that_is_not_there(tmp_path):
    done = dse("energy", "nothere.json", folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "nothere.json: cannot be read: No such file or directory\n"


@pytest.mark.parametrize("hardware", ["cmos45-fp32,", "", "cmos45-fp32,,cmos45-int8"])
def test_an_empty_name_of_hardware(folder, hardware):
    done = dse("energy", "counts.json", "--hardware", hardware, folder=folder)
    assert done.returncode == 2
    assert done.stderr == (
        f'--hardware "{hardware}": a name is empty. Give names with one comma between two of '
        "them, as in cmos45-fp32,cmos45-int8\n"
    )


def test_options_of_a_model_are_not_for_stored_counts(folder):
    done = dse("energy", "counts.json", "--input", "1,2", folder=folder)
    assert done.returncode == 2
    assert "its counts are stored" in done.stderr


def test_a_network_of_which_nothing_runs_on_the_chip_is_warned_of(tmp_path):
    alone = ModelCounts(samples=1, layers=COUNTS.layers[:1])
    (tmp_path / "ann.json").write_text(json.dumps(alone.to_dict()))
    hardware = "odin+host=cmos45-int8,cmos45-int8,cmos45-int8"
    done = dse("energy", "ann.json", "--hardware", hardware, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (
        "warning: odin+host=cmos45-int8: no layer of this network runs on the chip" in done.stdout
    )
    assert "odin+host=cmos45-int8: total 23 pJ" in done.stdout
    assert "0.0862" not in done.stdout  # no chip, no area
