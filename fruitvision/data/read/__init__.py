"""Files to pixels: finding, checking and decoding pictures, and the store that keeps them decoded."""
