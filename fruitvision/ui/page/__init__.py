"""What the panels share: the page, models, datasets, downloads, HTML elements."""
