"""Trials in which the rollback job is killed and its network breaks; test_chaos.py beside it runs them.

proxy   a TCP proxy between the job and a server, which breaks what it is told to break
trial   one job on a flag of its own, with a plan of troubles, and what came of it
three   three rollouts in one process, one of them sick, and the plan's job beside it
"""
