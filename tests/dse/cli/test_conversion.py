"""What is asked of `dse convert`, before anything is run."""

from dse.cli import conversion as asking
from dse.conversion.methods import METHODS


def asked(names, **options):
    given = {"threshold": None, "percentile": None, "initial": None, "coding": None, "epochs": None}
    return asking.methods(names, **{**given, **options})


def test_all_is_every_method_once_also_beside_others():
    assert [one.name for one in asked("all")] == list(METHODS)
    assert [one.name for one in asked("qcfs,all")] == ["qcfs", *(m for m in METHODS if m != "qcfs")]


def test_an_option_changes_the_methods_that_have_such_a_part_alone():
    opi, percentile, icsnn = asked("opi,normalise-percentile,icsnn", percentile=99.0)
    assert opi == METHODS["opi"]
    assert percentile.percentile == icsnn.percentile == 99.0
    opi, hybrid = asked("opi,hybrid", epochs=3)
    assert opi == METHODS["opi"] and hybrid.tuning_epochs == 3


def test_a_percentile_counts_where_the_rule_is_replaced_by_one_that_has_it():
    [opi] = asked("opi", threshold="percentile", percentile=99.0)
    assert (opi.threshold, opi.percentile) == ("percentile", 99.0)
