"""The kinds of guardrails: what may stand under `guardrails:` in a file, and what the job does with it.

base        what every guardrail has and can do, and the registry of kinds
question    what a guardrail asks in a pass, and the answers
threshold   one number from PromQL against one limit; template: its queries
sequential  bad calls, counted from the stage's beginning and weighed as evidence
against     what the challenger is compared with: the champion, or a fixed limit
counters    its forms whose calls are counters; selector: a counter as those name it
tails       its forms whose calls are those of a histogram
"""
