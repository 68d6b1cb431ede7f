"""Picture files taken apart before they are decoded: a file for each format."""
