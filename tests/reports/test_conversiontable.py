"""Which T are shown, and what stands beside a dash."""

from reports.conversiontable import Sheet, shown_steps, typical_step


def test_a_few_t_are_all_shown_and_of_many_the_powers_of_two():
    assert shown_steps((1, 3, 5)) == (1, 3, 5)
    assert shown_steps(tuple(range(1, 33))) == (1, 2, 4, 8, 16, 32)
    assert shown_steps(tuple(range(3, 31))) == (3, 4, 8, 16, 30)
    assert len(shown_steps(tuple(range(1, 4097)))) == 8


def test_errors_are_shown_at_the_t_that_is_nearest_to_eight():
    assert typical_step((1, 2, 4, 8, 16)) == 8
    assert typical_step((1, 2)) == 2
    assert typical_step((4, 16)) == 4
    assert typical_step((64, 128)) == 64


def test_columns_without_a_cell_are_left_out():
    sheet = Sheet("t", ("a", "b", "c"), (("1", "", "2"), ("3", "", "")), ("c",)).without_empty()
    assert sheet.columns == ("a", "c")
    assert sheet.rows == (("1", "2"), ("3", ""))
