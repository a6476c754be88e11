"""The rollout plan: stages as data, a pure decision, and the commands `python -m flags rollout`."""
