"""Conversion beside peers: what it costs to convert one trained network, and what comes of it."""
