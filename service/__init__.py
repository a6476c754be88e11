"""The HTTP service: a request comes in, the flag picks a model, the model answers.

app -> routes -> assignment (which model?) -> serving (champion, or the challenger as a guest) -> telemetry
"""
