"""Step 1 of Train: the pictures, which are collected with the camera, uploaded, chosen or downloaded."""
