"""What results prove: prediction against training, and two sweeps against each other."""
