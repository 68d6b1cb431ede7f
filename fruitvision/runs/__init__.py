"""Long jobs: a run is a folder and the detached process that fills it."""
