"""A model of the user's own, for sweeps that name it wrongly."""


def load(path):
    return path


def build(classes, input_shape, hidden, depth=1):
    return classes, input_shape, hidden, depth
