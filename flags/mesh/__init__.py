"""Weights of routes follow the share of a flag: `./canario mesh`."""
