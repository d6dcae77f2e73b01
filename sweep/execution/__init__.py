"""Running a sweep with Ray Tune."""
