"""Other recipes for the same PI-VQ at the same K and L: changes of its training, each of which can be had alone."""
