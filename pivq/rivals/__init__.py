"""What is trained beside the paper's model, to compare with it or to build on it: none of it is the paper's."""
