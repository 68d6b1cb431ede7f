"""What one normalization layer does to a batch of pictures."""
