import json

import pytest

from reports.errors import RecordError
from reports.record import TrialRecord


def test_round_trip_through_json(record):
    original = record(3, notes=("approximate",), parent=1, point="read")
    again = TrialRecord.from_dict(json.loads(json.dumps(original.to_dict())))
    assert again == original
    assert (again.accuracy, again.test_accuracy, again.energy_pj("cmos45-fp32")) == (0.9, None, 1e3)
    assert again.energy_pj("loihi") is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, "trial record: schema is 2; this version reads 1"),
        ({"colour": "red"}, "trial record 3: unknown fields ['colour'], missing []"),
        ({"state": "odd"}, "trial record 3: state is 'odd'; it must be one of complete,"),
    ],
)
def test_what_cannot_be_read_is_refused(record, change, message):
    with pytest.raises(RecordError) as caught:
        TrialRecord.from_dict({**record(3).to_dict(), **change})
    assert str(caught.value).startswith(message)


def test_a_missing_field_is_named(record):
    row = record(3).to_dict()
    del row["seed"]
    with pytest.raises(RecordError, match=r"missing \['seed'\]"):
        TrialRecord.from_dict(row)
