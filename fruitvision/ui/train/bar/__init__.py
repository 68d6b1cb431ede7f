"""The bar above the panels that shows how far a training is."""
