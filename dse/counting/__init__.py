"""Counting: run a model once, and tally what its products really were."""
