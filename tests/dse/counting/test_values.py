"""Values by address: what is read where several values were written over one another."""

import torch

from dse.counting.values import Memory, Value

SIZE = torch.float32.itemsize


def region(start, *shape, stride=None):
    """A region of floats, by its first element."""
    whole = torch.Size(shape)
    dense = torch.empty(whole, device="meta").stride()
    return (1024 + start * SIZE, whole, stride or dense, torch.float32, None)


def written(memory, start, *shape, stride=None):
    value = Value(0, "add", shape=shape, is_data=True)
    memory.write(region(start, *shape, stride=stride), value)
    return value


def test_a_part_of_a_value_is_always_the_same_part():
    memory = Memory()
    whole = written(memory, 0, 4, 2)
    assert memory.read(region(0, 4, 2)) is whole
    assert memory.read(region(0, 8)) is whole  # another view of all of it
    part = memory.read(region(2, 2))
    assert part.name == "slice"
    assert part.inputs == (whole,)
    assert memory.read(region(2, 2)) is part
    assert memory.read(region(4, 2)) is not part


def test_what_is_written_over_is_gone_and_the_rest_stays():
    memory = Memory()
    old = written(memory, 0, 4, 2)  # elements 0..7
    new = written(memory, 2, 2)  # elements 2..3
    assert memory.read(region(2, 2)) is new
    assert memory.read(region(0, 2)).inputs == (old,)
    assert memory.read(region(6, 2)).inputs == (old,)
    both = memory.read(region(0, 4, 2))
    assert both.name == "pieces"
    assert set(both.inputs) == {old, new}
    last = written(memory, 3, 3)  # elements 3..5, over the end of one and the middle of the other
    assert set(memory.read(region(0, 4, 2)).inputs) == {old, new, last}
    assert memory.read(region(2, 1)).inputs == (new,)
    all_new = written(memory, 0, 8)
    assert memory.read(region(0, 4, 2)) is all_new


def test_columns_of_one_memory_are_told_apart():
    memory = Memory()
    written(memory, 0, 4, 2)
    left = written(memory, 0, 4, stride=(2,))
    right = written(memory, 1, 4, stride=(2,))
    assert memory.read(region(0, 4, stride=(2,))) is left
    assert memory.read(region(1, 4, stride=(2,))) is right
    again = written(memory, 0, 4, stride=(2,))
    assert memory.read(region(0, 4, stride=(2,))) is again
    assert {right, again} <= set(memory.read(region(0, 4, 2)).inputs)
    other = written(memory, 0, 2, stride=(4,))  # every second element of the left column
    assert other in memory.read(region(0, 4, stride=(2,))).inputs


def test_what_was_there_before_is_data_unless_it_is_a_parameter_or_one_number():
    memory = Memory([region(0, 2)])
    assert not memory.read(region(0, 2)).is_data
    assert memory.read(region(2, 2)).is_data
    assert not memory.read(region(4)).is_data
