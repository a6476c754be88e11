"""Was it better? Reports from the prediction log, a folder each: shadow, abtest, power, segments.

`log` reads, in the engine that holds the data, and each question aggregates there; `statistics` computes on
the small numbers that come out; `render` shows the report.
"""
