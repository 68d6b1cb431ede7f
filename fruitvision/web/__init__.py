"""The static page that classifies pictures in the visitor's own browser, and its export."""
