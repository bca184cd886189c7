"""Features chosen by the evidence of a Bayesian linear layer on top of them; without Lightning."""
