"""Training runs: a run is a folder, and a detached process that writes it."""
