"""What the panels share: models, folders, uploads, answers."""
