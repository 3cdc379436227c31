"""Search: what a front costs, in seconds of the processor, beside one trial for every point."""
