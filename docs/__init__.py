"""Pages that are made from the code. Everything else in this folder is written by hand."""
