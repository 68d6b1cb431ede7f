"""The bar above the panels with the training's progress."""
