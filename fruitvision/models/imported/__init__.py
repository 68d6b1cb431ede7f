"""Other programs' weights as a checkpoint: read safely, mapped exactly or refused by name."""
