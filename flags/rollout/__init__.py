"""The rollout plan: stages as data, a pure decision, and the job that carries it out."""
