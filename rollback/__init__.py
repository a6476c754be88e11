"""Takes the challenger away when Prometheus shows that it is worse: read, judge, act, once a pass.

    guardrails   policy as data: what may not happen, and on how many calls it is judged
    window       how far back a query may look: never before the stage began (pure)
    prometheus   the only door to Prometheus
    measure      a guardrail's queries, asked over its window
    verdict      ok, breach, no data or cannot measure (pure)
    act          the flag's environment turned off, and seen to be off
    stop, follow whether the challenger was then seen to stop on every instance
    decision(s)  each decision as a document, kept in a folder; story and explain tell it
    notify       messages to people; metrics: what the job tells Prometheus of itself
    teller       both of these for one job, without holding it up; watchman: all of it put together
    job          one pass of all this
    outcome      what a pass came to, and its exit code
    schedule     passes on a steady schedule until a signal
    report       a pass as one log line, one JSON document or one table
    configure    reading guardrails and environment, for each command

No part keeps state of its own: share and time of the last change are read from Unleash, what happened since
from Prometheus. So the job may be killed, restarted or run twice at any moment.
"""
