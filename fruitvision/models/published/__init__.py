"""Checkpoints in the format of the Hugging Face Hub and timm."""
