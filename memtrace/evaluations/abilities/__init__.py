"""When abilities emerge along training, from evaluations of checkpoints."""
