"""Finite networks and the empirical NTK of JAX functions."""
