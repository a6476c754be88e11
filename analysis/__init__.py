"""Was it better? Reports from the prediction log: shadow, A/B test, power, segments.

`log` reads, `measures` aggregates in the engine that holds the data, `statistics` computes on the small
numbers that come out, `reports` says what they mean, `show` prints it.
"""
