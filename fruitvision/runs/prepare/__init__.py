"""What a run needs before its first step: pictures, transforms, loaders, initial weights; and how long it will take."""
