"""Rolls the challenger back when Prometheus shows that it is worse: read, judge, act, once an iteration.

    __main__     python -m rollback: the job, check, explain, simulate, backtest
    job          one iteration, told from top to bottom: start here
    guardrails/  policy as data; each kind says what to ask Prometheus and how to judge the answer
    actions/     turn the flag off; verify that the challenger stopped; renew the lease, block the version
    decisions/   each decision as a document, kept in a folder, told in sentences and judged again
    iteration    what an iteration came to: exit code, line of the log, JSON, table
    services     what the job does beside judging, made from its settings
    notify       messages to people; metrics: what the job tells Prometheus of itself
    background   slow work in a thread that nobody waits for
    simulate/    guardrails tried on made-up traffic
    backtest/    guardrails tried on the history of Prometheus

No part keeps state of its own: share and time of the last change are read from Unleash, what happened since
from Prometheus. So the job may be killed, restarted or run twice at any moment.
"""
