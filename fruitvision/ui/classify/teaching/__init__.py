"""Teaching in Classify: classes that the owner adds with a few pictures."""
