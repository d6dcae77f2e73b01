"""The report of a sweep: one interactive HTML file."""
