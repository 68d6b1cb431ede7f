"""The visitor's own browser: a folder of static files that answers pictures without a server."""
