"""Measuring points in this process, without Ray."""
