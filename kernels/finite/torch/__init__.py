"""Finite networks and the empirical NTK of torch modules and functions."""
