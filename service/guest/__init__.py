"""The challenger as a guest: a process of its own, whose faults cost the champion's users nothing.

guest (what a call may cost) -> breaker (when not to call at all) -> sandbox (the process, from outside)
  -> channel (one call at a time) -> wire (what is said)
child (the process, from inside) -> faults (what a drill makes it do)
"""
