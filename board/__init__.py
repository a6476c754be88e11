"""The rollout on one page, for those who look and do not touch."""
