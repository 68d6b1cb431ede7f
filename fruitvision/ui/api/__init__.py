"""The HTTP API for programs: a route that classifies a picture, its description, and a documentation page."""
