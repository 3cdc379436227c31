"""Counting beside peers: how right the numbers of each counter are, and what they cost."""
