"""Norm against norm."""
