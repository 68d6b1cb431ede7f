"""Step 1 of Train: your pictures, collected before the camera, dropped, chosen or downloaded."""
