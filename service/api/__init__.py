"""The HTTP API: what is read, what is answered, who may call it."""
