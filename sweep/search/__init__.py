"""Choice of the points that a sweep measures next, recorded in an Optuna study."""
