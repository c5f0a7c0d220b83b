"""Benchmarks: ``python -m benchmarks cntk``. A suite is an entry in the registry."""
