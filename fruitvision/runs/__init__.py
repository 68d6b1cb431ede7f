"""Long jobs: a run is a folder, and a process of its own that fills it."""
