"""Tries the guardrails on traffic that is made up, before anybody trusts them: `python -m rollback simulate`.

traffic   what the service would count, for models that one invents
readings  what Prometheus would read off these counters
rules     the step at which a rule is breached
policy    guardrails.yaml as rules; sequential ones are weighed by the job's own functions
study     many runs, by several processes
cases     which rollouts are played: equal models, and regressions at each share
results   rates with their intervals, delays with their quantiles
report    these as tables and as JSON
command   the command line
"""
