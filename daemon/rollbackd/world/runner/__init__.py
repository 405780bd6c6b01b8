"""Runs steps, probes and checks in processes that outlive the daemon (rules X2–X6, X9).

The daemon's side is `steps.Runner`. The other side is a warm helper, whose forks become wrappers. It
has no site-packages and starts in milliseconds: what it imports (this module too, and `attempt`,
`tree`, `process`, `wrapper`) imports the standard library's light parts alone.
"""
