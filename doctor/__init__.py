"""Checks of a checkout, its stack or remote servers; each problem is reported as a Finding with its fix.

    report = diagnose(Addresses(service="http://10.0.0.7:3000"))

Each module holds the checks of one subject: it reads the state into a small dataclass, and a pure function returns the
findings. Checks are read-only and every request has a timeout.
"""

from doctor.context import Addresses, Context
from doctor.finding import Finding, Severity
from doctor.report import diagnose

__all__ = ["Addresses", "Context", "Finding", "Severity", "diagnose"]
