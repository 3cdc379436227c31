"""Finishing: what is confirmed, whoever is stopped in the middle of it, and what is left behind."""

import pytest
import torch

from dse import finishing, inventory
from dse.config import dump_sweep
from dse.confirming import made_again
from dse.finishing import finish
from dse.recipe import Recipe
from dse.runfolder import RunFolder
from dse.study import begin, work
from dse.sweep import Sweep

GIVEN = ("training.epochs=1", "data.samples=120", "budget={trials: 1}", "variants=[ann]")
SHARED = ("share_widths=[0.1, 0.2]", "space={depth: 1}", "confirm={alone: true}")
TUNED = (
    "space={width: 0.1, depth: 1}",
    "confirm={epochs: 1, seeds: 2}",
)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def swept(path, *overrides):
    config = inventory.load_sweep("smoke", (*GIVEN, *overrides))
    folder = RunFolder(path)
    folder.begin(dump_sweep(config))
    one = Sweep(folder, Recipe(config), inventory.space(config))
    begin(one)
    work(one)
    return one


def confirmed(records):
    return [(one.name, one.design) for one in records if one.is_confirmation]


@pytest.mark.slow
def test_all_seeds_of_a_point_are_trained_although_the_first_beat_it(tmp_path, monkeypatch):
    one = swept(tmp_path, *TUNED)
    kept = finishing.fine_tune

    def stopped(point, seeds, epochs, recipe, folder, numbers):
        if numbers[0] > 1:
            raise KeyboardInterrupt
        [made] = kept(point, seeds, epochs, recipe, folder, numbers)
        made.metrics["validation"]["accuracy"] = 1.0  # it dominates the point it was made from
        made.energy.update({name: {"total_pj": 1.0} for name in made.energy})
        return [made]

    monkeypatch.setattr(finishing, "fine_tune", stopped)
    with pytest.raises(KeyboardInterrupt):
        finish(one)
    monkeypatch.setattr(finishing, "fine_tune", kept)
    assert [name for name, _ in confirmed(finish(one))] == ["0.1", "0.2"]


@pytest.mark.slow
def test_a_point_trained_alone_is_made_again_and_leaves_no_checkpoint(tmp_path):
    one = swept(tmp_path, *SHARED)
    records = finish(one)
    assert not list(tmp_path.rglob("checkpoint*"))
    alone = [record for record in records if record.is_confirmation]
    assert alone
    for record in alone:
        again = made_again(record, records, records[0], one.recipe, tmp_path / "again")
        assert again is not None
        assert (again.seed, again.key) == (record.seed, record.key)
        validation = record.metrics["validation"]
        assert again.metrics["validation"] == validation
