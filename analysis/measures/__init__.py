"""What is measured, as expressions that run in the engine: raw rows never come to Python."""
