"""A network that was trained elsewhere: made a checkpoint, and asked about pictures of every class."""
