"""Benchmarks of this machine, beside the targets that the project holds itself to."""
