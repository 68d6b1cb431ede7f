"""What programs ask over HTTP: one route to classify a picture, its description, and a page that explains it."""
