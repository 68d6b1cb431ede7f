"""Parts of the page with a script of their own, which calls functions of the server for the owner."""
