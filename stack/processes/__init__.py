"""The programs of a stack as processes: what each is, how it starts and ends, and how it is."""
