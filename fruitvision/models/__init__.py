"""The network: its layers, its weights, and the checkpoint folder that holds both."""
