"""Which point is measured next: the Optuna study of a sweep."""
