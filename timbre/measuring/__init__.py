"""Workloads of `scripts/benchmark.py`."""
