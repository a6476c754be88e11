"""Was it better? Reports from the prediction log: shadow, A/B test, power, segments."""
