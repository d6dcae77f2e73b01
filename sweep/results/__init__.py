"""A stored sweep as tables."""
