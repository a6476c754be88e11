"""The whole story on simulated users of a running stack: shadow, power, canary, A/B test, segments, decision.

command -> acts (in order) -> crowd (requests), console (how it is told, and command lines as a person calls
them), FlagRestorer (flags as they were found) -> truth (pure: is it as was simulated?).
"""
