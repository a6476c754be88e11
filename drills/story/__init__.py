"""The whole story on simulated users of a running stack: shadow, power, canary, A/B test, segments, decision.

command -> looking, testing (the acts, in order) -> crowd (requests), tools (command lines, as a person calls
them), keeper (flags as they were found) -> ending (pure: is it as truth has it?); voice tells all of it.
"""
