"""The HTTP service: a request comes in, the flag picks a model, the model answers.

app -> predict (a request on one page) -> assignment (which model?) -> models (the champion), or challenger
(in a process of its own) -> metrics, prediction_log
"""
