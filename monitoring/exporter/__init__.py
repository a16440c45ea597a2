"""The figures of monitoring as Prometheus metrics, served by a process of its own that may only read them.

Not the prediction service: it answers in milliseconds, and its role reads no table of monitoring.
"""
