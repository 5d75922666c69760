"""Other ways to represent and to draw images, for comparison: same images, same convolutions, same training."""
