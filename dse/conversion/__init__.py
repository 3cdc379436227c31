"""Conversion: a trained ANN read out as a spiking network of any number of time steps."""
