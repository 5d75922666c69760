"""Beyond the paper, notebooks 11 to 16: rivals, recipes, samplers and priors, other data, what codes mean."""
