"""Drills on a running stack: real load, a real fault, and a verdict from what was measured.

__main__ -> scenario (acts, in order) -> load (requests at a steady rate) -> judge (pure) -> report
story: the whole way of a challenger, from shadow to the decision
"""
