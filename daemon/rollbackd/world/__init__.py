"""Real I/O: Prometheus, processes, checks, receivers, clocks."""
