"""`python -m flags`: the commands, one module for each group."""
