"""Proposals: a pure function of the records, over a thinned set, without repetition."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dse import inventory, proposals
from dse.design import Design
from dse.proposals import MOST_TOLD, Proposer
from dse.selection import spread
from reports.record import TrialRecord

CONFIG = inventory.load_sweep("quickstart")
SPACE = inventory.space(CONFIG)
PROFILE = "cmos45-fp32"


def record(number, design, accuracy, energy_pj, reading=None, state="complete"):
    return TrialRecord(
        number,
        state,
        design.variant,
        design.to_dict(),
        seed=0,
        parent=None if reading is None else number,
        reading=reading,
        metrics={"validation": {"accuracy": accuracy, "samples": 100}},
        energy={PROFILE: {"total_pj": energy_pj}},
    )


def trained(count, readings=0, seed=0, config=CONFIG):
    """As many trainings as an own proposer proposes, each worth something."""
    random.seed(seed)
    proposer = Proposer(config, SPACE)
    found = []
    for number in range(count):
        design = proposer.propose(number, [], []).design
        for reading in (None, *range(1, readings + 1)):
            values = random.random(), random.uniform(1e3, 1e6)
            found.append(record(number, design, *values, reading))
    return found


def test_the_same_records_give_the_same_proposal_whoever_asks():
    records = trained(15, readings=3)
    fresh = Proposer(CONFIG, SPACE).propose(15, records, [])
    used = Proposer(CONFIG, SPACE)
    for number in range(15):
        used.propose(number, [r for r in records if r.number < number], [])
    assert used.propose(15, records, []) == fresh


def test_what_runs_is_known_to_the_sampler_and_not_proposed():
    records = trained(15)
    running = Proposer(CONFIG, SPACE).propose(15, records, []).design
    other = Proposer(CONFIG, SPACE).propose(15, records, [running]).design
    assert other != running


def test_a_design_that_failed_or_was_refused_is_not_proposed_again():
    config = inventory.load_sweep(
        "quickstart", ["space={time_steps: {range: [1, 3]}}", "variants=[snn]"]
    )
    space = inventory.space(config)
    proposer = Proposer(config, space)
    records = []
    for number, state in enumerate(("failed", "refused", "stopped")):
        design = proposer.propose(number, records, []).design
        records.append(record(number, design, 0.5, 1e3, state=state))
    assert len({str(r.design) for r in records}) == 3
    assert proposer.propose(3, records, []) is None


@pytest.mark.parametrize("sampler", ["tpe", "random", "gp"])
def test_every_sampler_proposes(sampler):
    config = inventory.load_sweep("quickstart", [f"search.sampler={sampler}"])
    records = trained(12)
    found = {Proposer(config, SPACE).propose(n, records, []).design for n in (12, 13)}
    assert len(found) == 2


def test_at_most_a_thousand_points_are_told(monkeypatch):
    seen = []
    build = proposals.optuna.create_study

    def watched(**more):
        study = build(**more)
        seen.append(study)
        return study

    monkeypatch.setattr(proposals.optuna, "create_study", watched)
    for count, readings in ((20, 100), (110, 20), (1010, 0)):
        records = trained(count, readings)
        Proposer(CONFIG, SPACE).propose(count, records, [])
        assert len(seen[-1].trials) <= MOST_TOLD + 1
        assert len(seen[-1].trials) > 20
        seen.clear()


def test_no_more_points_of_a_training_than_the_sweep_says():
    config = inventory.load_sweep("quickstart", ["search.told=3"])
    proposer = Proposer(config, SPACE)
    records = trained(1, readings=50)
    [known] = proposer._look(records).values()
    assert 1 <= len(known.told) <= 3


def test_what_was_worked_out_of_a_training_is_remembered():
    records = trained(20, readings=10)
    proposer = Proposer(CONFIG, SPACE)
    before = proposer._look(records)
    after = proposer._look([*records, *trained(1, seed=1)])
    assert all(after[key] is before[key] for key in before if key != (True, 0))


VALUES = st.lists(
    st.tuples(st.floats(0, 1), st.floats(1, 1e6)), min_size=1, max_size=40, unique=True
)


@given(VALUES, st.integers(1, 12))
@settings(max_examples=200, deadline=None)
def test_a_spread_is_of_the_front_and_has_its_ends(values, most):
    chosen = spread(values, CONFIG, most)
    able = [
        i
        for i, (accuracy, energy) in enumerate(values)
        if not any(
            other != (accuracy, energy) and other[0] >= accuracy and other[1] <= energy
            for other in values
        )
    ]
    assert set(chosen) <= set(able)
    assert len(chosen) == len(set(chosen)) == min(most, len(able))
    assert max(values[i][0] for i in able) == values[chosen[0]][0]


def test_a_design_of_another_space_is_not_told():
    strange = Design.of("snn", "mlp", {})
    assert SPACE.parameters(strange) is None
    [known] = Proposer(CONFIG, SPACE)._look([record(0, strange, 0.5, 1e3)]).values()
    assert known.told == []


def test_a_family_of_few_designs_does_not_end_a_sweep_of_many():
    changes = ["variants=[ann, snn]", "architecture=mlp", "space={width: 0.2, threshold: 1.0}"]
    endless = "space.threshold={log_range: [0.5, 2.0]}"
    config = inventory.load_sweep("quickstart", [*changes, endless, "evaluate={}"])
    space = inventory.space(config)
    assert space.sizes() == {"ann": 1, "snn": None}
    proposer = Proposer(config, space)
    records = []
    for number in range(30):
        proposal = proposer.propose(number, records, [])
        assert proposal is not None
        # the real-valued design is the best that a sampler has seen
        accuracy = 0.99 if proposal.design.variant == "ann" else 0.1
        records.append(record(number, proposal.design, accuracy, 1e3))
    assert [r.variant for r in records].count("ann") == 1
    assert len({str(r.design) for r in records}) == 30


def test_a_grid_is_tried_to_its_last_design():
    changes = ["variants=[ann, snn]", "space={width: {choice: [0.2, 0.4, 0.6]}}", "evaluate={}"]
    config = inventory.load_sweep("quickstart", [*changes, "space.time_steps={choice: [1, 2]}"])
    space = inventory.space(config)
    assert space.size() == 9
    proposer, records = Proposer(config, space), []
    while (proposal := proposer.propose(len(records), records, [])) is not None:
        records.append(record(len(records), proposal.design, 0.5, 1e3))
    assert len({str(r.design) for r in records}) == len(records) == 9
