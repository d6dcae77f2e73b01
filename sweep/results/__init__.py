"""Stored sweeps as tables: loading, exporting and merging them."""
