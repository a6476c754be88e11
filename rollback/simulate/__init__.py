"""Tries the guardrails on traffic that is made up, before anybody trusts them: `./canario simulate`.

traffic   what the service would count, for models that one invents
users     the same by users, whose bad calls hang together in ways that one chooses
rules     the step at which a rule is breached, by what Prometheus would read off these counters
study     many runs, by several processes: rates with their intervals, delays with their quantiles
cases     which rollouts are played: equal models, and regressions at each share
report    these as tables and as JSON
command   the command line
detect    how small a regression a guardrail can detect, and how soon, without playing
forecast  what a rollout plan will cost and see, as a table and as JSON
"""
