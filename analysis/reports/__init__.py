"""What the figures come to: one report a command, ready to be shown."""
