"""Models of the rate of events along training."""
