"""Classes taught by the user with a few pictures: storage, embeddings, transfer, and a benchmark."""
