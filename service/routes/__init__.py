"""HTTP in and out, and nothing else: each route parses, calls one function, and writes what it returns."""
