"""The story of a simulated shop, on servers of its own: shadow, power, canary, A/B test, segments, decision.

command (servers, models) -> acts (in order) -> crowd (requests), console (how it is told, and command lines
as a person calls them) -> truth (pure: did the reports find what is true of the shop's visitors?).
"""
