"""The evaluation transform, and the training recipes."""
