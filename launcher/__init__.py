"""`./canario`: one command for people, which passes each word on to the program that has it.

Standard library only, and parsed by old Pythons too: it says what to do before anything is installed.
"""
