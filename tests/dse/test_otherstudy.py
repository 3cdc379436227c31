"""An Optuna study of somebody else's, as records and as a report."""

from pathlib import Path

import optuna
import pytest
from command import dse

from dse.cli.otherstudy import report_data
from dse.errors import AskedWrongly, StorageError
from dse.otherstudy import read
from dse.storage import reach
from reports import points
from reports.page import write_report


@pytest.fixture
def url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'theirs.db'}"
    study = optuna.create_study(storage=url, study_name="mine", directions=["maximize", "minimize"])
    study.set_metric_names(["top-1", "joules"])
    for values in ((0.5, 1.0), (0.9, 2.0), (0.4, 3.0)):
        trial = study.ask()
        trial.suggest_float("lr", 0.1, 1.0, log=True)
        trial.suggest_categorical("layers", [(8, 8), (16,)])
        study.tell(trial, list(values))
    study.tell(study.ask(), state=optuna.trial.TrialState.FAIL)
    study.ask()
    return url


@pytest.fixture(autouse=True)
def quiet():
    optuna.logging.set_verbosity(optuna.logging.ERROR)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::optuna.exceptions.ExperimentalWarning")
def test_trials_and_objectives_come_with_their_names(url: str):
    records, objectives = read(url, "mine")
    assert [(one.name, one.goal) for one in objectives] == [("top-1", "max"), ("joules", "min")]
    assert [record.state for record in records] == ["complete"] * 3 + ["failed"]
    assert points.objective_values(records[:3], objectives).tolist() == [
        [0.5, 1.0],
        [0.9, 2.0],
        [0.4, 3.0],
    ]
    assert [record.number for record in points.front(records, objectives)] == [1, 0]
    assert set(records[0].design["knobs"]) == {"lr", "layers"}
    assert all(record.energy == {} for record in records)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::optuna.exceptions.ExperimentalWarning")
def test_the_report_says_that_nothing_was_priced(url: str, tmp_path: Path):
    page = write_report(report_data(url, "mine"), tmp_path / "out").read_text()
    assert "dse counted, priced and trained nothing" in page
    assert "top-1" in page
    lines = (tmp_path / "out" / "pareto.csv").read_text().splitlines()
    assert len(lines) == 3
    assert "top-1" in lines[0]
    assert "joules" in lines[0]


def test_what_is_not_there_is_refused_by_name(tmp_path: Path):
    url = f"sqlite:///{tmp_path / 'empty.db'}"
    with pytest.raises(AskedWrongly, match="there is no file"):
        read(url, "mine")
    assert not (tmp_path / "empty.db").exists()
    reach(url)
    with pytest.raises(AskedWrongly, match=r'"mine": no such study\. There are none'):
        read(url, "mine")
    with pytest.raises(StorageError, match="cannot be used"):
        read("nothing://here", "mine")


def test_a_report_is_of_runs_or_of_a_study(tmp_path: Path):
    for options in ((), ("--study", "sqlite:///a.db"), ("run", "--name", "mine")):
        done = dse("report", *options, folder=tmp_path)
        assert (done.returncode, done.stderr) == (
            2,
            "dse report: must be given runs, or --study URL --name NAME --out DIR and nothing "
            "else\n",
        )
