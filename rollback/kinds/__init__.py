"""The kinds of guardrails: what may stand under `guardrails:` in a file of them, field by field.

base        what every guardrail has
threshold   one number from PromQL against one limit
sequential  bad calls, counted from the stage's beginning and weighed as evidence
selector    a counter as those name it
"""
