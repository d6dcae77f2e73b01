"""Where a noisy function crosses a level. Knows no sweep."""
