"""Tries the guardrails on what Prometheus remembers: `./canario backtest`.

command   the command line
history   raw counters over days, read piece by piece: calls of both models by how they went, in each step
change    a pretended canary drawn from the champion's traffic, and regressions that one injects
replay    rollouts over the history, weighed by the job's own functions
report    false rollbacks and delays, as tables and as JSON
picture   the evidence over time against its limit: an HTML page, and a small chart for the terminal
"""
