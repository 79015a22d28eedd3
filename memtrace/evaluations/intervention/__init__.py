"""What an intervention on the training data changed, from evaluations."""
