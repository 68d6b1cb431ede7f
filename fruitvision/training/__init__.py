"""Learning: the configuration, the loop, and everything that an exact resume needs."""
