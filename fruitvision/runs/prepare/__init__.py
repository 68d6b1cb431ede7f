"""The preparation of a run: pictures, transforms, loaders, initial weights; and estimates of its duration."""
