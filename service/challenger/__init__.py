"""The challenger, in a process of its own, whose faults cost the champion's users nothing.

client (what a call may cost, and when not to call) -> pool (a channel, and the reply by the deadline)
  -> protocol (what is said) -> worker (the process, from inside) -> faults (what a drill makes it do)
process (supervises it, from outside) -> launcher -> fork_server (what each run of it is forked from)
  standing (its priority) -> priority
shadow (requests of the champion, asked in batches) -> agreement (whether both say the same)
"""
