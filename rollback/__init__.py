"""Takes the challenger away when Prometheus shows that it is worse: read, judge, act, once a pass.

    guardrails   policy as data: what may not happen, and on how many calls it is judged; its kinds in kinds/
    window       how far back a query may look, and the steps of a stage (pure)
    measure      what a pass asks Prometheus, by common.prometheus; batch: many queries in one
    plans        which series a sequential guardrail needs; edges: of which buckets (pure)
    counts       increments of raw counters; tally: of both models, by guardrail (pure)
    tail         edges for slow calls; the statistics are in common.sequential (pure)
    verdict      ok, breach, no data or cannot measure: of a threshold; weigh: of a tally (pure)
    evidence     what a verdict rests on, as JSON, and the same verdict from it
    judging      all guardrails at one moment
    act          the flag's environment turned off, and seen to be off
    stop, follow whether the challenger was then seen to stop on every instance
    decision(s)  each decision as a document, kept in a folder; story and explain tell it
    notify       messages to people; metrics: what the job tells Prometheus of itself
    teller       both of these for one job, without holding it up; watchman: all of it put together
    guardian     the lease renewed, and a version that was rolled back in quarantine
    job          one pass of all this
    outcome      what a pass came to, and its exit code
    report       a pass as one log line, one JSON document or one table
    configure    reading guardrails and environment, for each command
    check        one pass without acting
    simulate/    guardrails tried on made-up traffic
    backtest/    guardrails tried on the history of Prometheus

No part keeps state of its own: share and time of the last change are read from Unleash, what happened since
from Prometheus. So the job may be killed, restarted or run twice at any moment.
"""
