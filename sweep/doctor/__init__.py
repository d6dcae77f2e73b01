"""What this machine and cluster can do, and what to do where something is missing."""
