"""One network, converted by methods and read at T: what stands in the rows."""

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
from torch import nn

from dse import count
from dse.conversion.comparison import compare
from dse.conversion.convert import convert
from dse.conversion.lessons import calibration_images
from dse.conversion.methods import METHODS
from dse.data import splits
from dse.errors import ConversionFailure
from dse.training.evaluation import accuracy
from energy_models import estimate, load_profile

HARDWARE = ("cmos45-fp32", "cmos45-int8")


@pytest.fixture(scope="module")
def digits():
    return splits.load("digits", data_dir=None, validation=0.2, samples=300, seed=0)


@pytest.fixture(scope="module")
def trained(digits):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    images, labels = torch.tensor(digits.train.images), torch.tensor(digits.train.labels)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
    return model.eval()


def compared(model, data, names, steps, **changes):
    settings = {
        "hardware": HARDWARE,
        "calibration_samples": 64,
        "counted_samples": 16,
        **changes,
    }
    return compare(
        model, data, [METHODS[name] for name in names], steps,
        name="net", target="net.py:build", **settings,
    )  # fmt: skip


def test_rows_are_what_a_conversion_at_that_t_gives(trained, digits):
    found = compared(trained, digits, ["opi", "icsnn-2"], [4, 1])
    assert found.steps == (1, 4)
    for method in found.methods:
        for row in method.readings:
            images = calibration_images(digits.train, 64, 0)
            network = convert(trained, images, METHODS[method.name], row.time_steps).network
            assert row.test == accuracy(network, digits.test.images, digits.test.labels)
            counts = count(network, torch.tensor(digits.validation.images[:16]))
            assert (row.ac, row.mac, row.spikes) == (counts.ops.ac, counts.ops.mac, counts.spikes)
            assert row.spikes_per_neuron == pytest.approx(counts.spikes / 16)
            for name in HARDWARE:
                energy = estimate(counts, load_profile(name))
                assert row.energy_pj[name] == pytest.approx(energy.total_pj)


def test_spikes_per_neuron_are_not_those_of_the_coding(trained, digits):
    [method] = compared(trained, digits, ["icsnn"], [3]).methods
    network = convert(trained, calibration_images(digits.train, 64, 0), METHODS["icsnn"], 3).network
    spikes = []
    with torch.no_grad():
        network.run(torch.tensor(digits.validation.images[:16]), lambda *seen: spikes.append(seen))
    [(_, _, fired)] = spikes
    assert method.readings[0].spikes_per_neuron == pytest.approx(float(fired.sum()) / (16 * 16))
    assert method.readings[0].spikes > float(fired.sum()) / 16


@pytest.mark.parametrize("name", ["normalise-max", "opi"])
def test_a_row_is_the_same_whatever_else_is_read(name, trained, digits):
    alone, beside = (
        compared(trained, digits, [name], steps, counted_samples=32).methods[0].readings[0]
        for steps in ([2], [2, 32])
    )
    assert asdict(alone) == asdict(beside)


def test_only_a_method_that_depends_on_t_is_calibrated_for_it(trained, digits):
    opi, icsnn = compared(trained, digits, ["opi", "icsnn-2"], [2, 4]).methods
    assert opi.is_one_pass and [row.calibrated_for for row in opi.readings] == [None, None]
    assert not icsnn.is_one_pass and [row.calibrated_for for row in icsnn.readings] == [2, 4]
    assert icsnn.is_reconstruction and icsnn.label == "icsnn-2 †"
    assert all(0 <= row.kept_share <= 1 for row in icsnn.readings)
    assert all(row.kept_share is None for row in opi.readings)


def test_a_method_that_the_source_does_not_allow_is_a_row_with_its_reason(trained, digits):
    qcfs, opi = compared(trained, digits, ["qcfs", "opi"], [1, 2]).methods
    assert [row.time_steps for row in qcfs.readings] == [1, 2]
    assert all("must be clipped or qcfs" in row.reason for row in qcfs.readings)
    assert all(row.test is None and not row.energy_pj for row in qcfs.readings)
    assert all(not row.reason for row in opi.readings)


def test_the_ann_is_one_dense_pass(trained, digits):
    source = compared(trained, digits, ["opi"], [1]).source
    macs = 64 * 16 + 16 * 10
    assert source.dense_mac == macs
    assert source.energy_pj["cmos45-fp32"] == pytest.approx(4.6 * macs)
    assert source.energy_pj["cmos45-int8"] == pytest.approx(0.23 * macs)
    assert source.test == accuracy(trained, digits.test.images, digits.test.labels)
    assert source.activations == ("2: ReLU()",)


def test_at_the_rate_of_break_even_the_energies_are_equal(trained, digits):
    """Accumulates follow the rate; the first layer, one dense pass, does not."""
    name = "cmos45-fp32+neuron_updates=excluded"
    found = compared(trained, digits, ["opi"], [8], hardware=(name,))
    [row] = found.methods[0].readings
    rate = row.break_even[name]
    fixed_pj, ac_pj = 4.6 * 64 * 16, 0.9 * row.ac
    assert row.energy_pj[name] == pytest.approx(fixed_pj + ac_pj)
    at_rate_pj = fixed_pj + ac_pj * rate.rate / rate.measured
    assert at_rate_pj == pytest.approx(found.source.energy_pj[name])


def test_the_same_seed_gives_the_same_document_and_leaves_the_model_alone(trained, digits):
    before = {name: value.clone() for name, value in trained.state_dict().items()}
    one, two = (
        json.dumps(compared(trained, digits, ["normalise-max", "icsnn"], [2]).to_dict())
        for _ in range(2)
    )
    assert one == two
    json.loads(one, parse_constant=pytest.fail)  # no NaN
    assert all(torch.equal(before[name], now) for name, now in trained.state_dict().items())


def test_the_document_holds_verdicts_and_what_was_changed(trained, digits):
    method = METHODS["opi"]
    changed = type(method)(**{**_fields(method), "percentile": 99.0, "threshold": "percentile"})
    found = compare(
        trained, digits, [changed], [1, 16], name="n", target="t", hardware=HARDWARE,
        calibration_samples=64, counted_samples=8,
    )  # fmt: skip
    document = found.to_dict()
    [row] = document["methods"]
    assert row["changed"] == ("threshold: percentile, not max", "percentile: 99.0, not 99.9")
    assert set(row["within_points"]) == {"0.5", "1", "2"}
    assert set(row["cheaper_than_ann_up_to"]) == set(HARDWARE)
    assert document["samples"]["calibration"] == 64
    assert [len(one["layers"]) for one in row["readings"]] == [1, 1]


def _fields(method):
    return {name: getattr(method, name) for name in type(method).__dataclass_fields__}


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 12)),
            r"images of digits of shape \(1, 8, 8\): gives logits of shape \(12,\): must be \(10,",
        ),
        (
            nn.Sequential(nn.Flatten(), nn.Linear(65, 8), nn.ReLU(), nn.Linear(8, 10)),
            r"images of digits of shape \(1, 8, 8\): cannot run",
        ),
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.Sigmoid()), "Sigmoid cannot"),
    ],
)
def test_a_model_that_does_not_fit_is_refused(model, message, digits):
    with pytest.raises(ConversionFailure, match=message):
        compared(model, digits, ["opi"], [1])


def test_calibration_images_are_a_stratified_draw_of_the_training_images(digits):
    images = calibration_images(digits.train, 50, 3)
    again = calibration_images(digits.train, 50, 3)
    assert torch.equal(images, again)
    known = {image.tobytes(): label for image, label in zip(*_part(digits.train), strict=True)}
    labels = [known[image.numpy().tobytes()] for image in images]
    assert set(np.bincount(labels, minlength=10)) <= {4, 5, 6}
    assert len(calibration_images(digits.train, 10**6, 0)) == len(digits.train)


def _part(part):
    return part.images, part.labels


def test_the_work_of_the_layers_adds_up_to_that_of_the_network(trained, digits):
    [method] = compared(trained, digits, ["icsnn"], [1, 4]).methods
    for row in method.readings:
        for name in ("ac", "dense_mac", "graded"):
            assert sum(one.events.get(name, 0.0) for one in row.work) == getattr(row, name)
        for profile in HARDWARE:
            layers_pj = sum(one.energy_pj[profile] for one in row.work)
            assert layers_pj == pytest.approx(row.energy_pj[profile], rel=1e-12)
    assert all(one.layer and not one.layer.startswith("nodes.") for one in row.work)


def test_a_source_that_is_no_better_than_chance_is_told_of(trained, digits):
    assert compared(trained, digits, ["opi"], [1]).notes == digits.notes
    torch.manual_seed(1)
    untrained = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 10))
    nn.init.zeros_(untrained[3].weight)
    *others, note = compared(untrained, digits, ["opi"], [1]).notes
    assert tuple(others) == digits.notes
    assert note.endswith("chance in 10.0 %: are its weights trained?")


def test_weights_of_another_precision_than_the_images_are_refused(trained, digits):
    with pytest.raises(ConversionFailure, match=r"float64: must be torch.float32.*model.float"):
        compared(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).double(), digits, ["opi"], [1])
