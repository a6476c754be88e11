"""The canary's share of users, and what limits it: lease, blocked versions, marks, history."""
