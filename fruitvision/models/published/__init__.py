"""A checkpoint as the Hugging Face Hub and timm read it."""
