"""Sets of networks that were probed and trained: which (`sets.toml`), what was measured (CSV), and how to make them."""
