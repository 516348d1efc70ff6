"""Sweeps: a grid of cells, on this machine or many; one table of what came of them."""
