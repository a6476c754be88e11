"""Drills on a running stack: real load, a real fault, and a verdict from what was measured.

demo      the acceptance scenario, live: scenario (steps, in order) -> load -> judge (pure)
faults    every fault of a challenger, and what the other users notice
rollback  how long a rollback takes: the scenario, again and again
pictures  of the Unleash UI and the board, for the README
story     the whole way of a challenger, from shadow to the decision

What the demo changes in Unleash is brought back by FlagRestorer.
"""
