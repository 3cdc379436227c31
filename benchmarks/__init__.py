"""Measurements beside peers, as ratios in one run; not part of the tests, never shipped."""
