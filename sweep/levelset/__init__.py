"""Search for where a noisy function crosses a level, independent of sweeps and networks."""
