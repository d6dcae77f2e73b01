"""A sweep as one interactive HTML file."""
