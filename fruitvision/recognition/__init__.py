"""Answers out: what a network says of a picture, how far to believe it, where it looked, and how often it is right."""
