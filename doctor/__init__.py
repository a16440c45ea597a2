"""What is wrong with a checkout, its stack or given addresses -> Findings, each with how to fix it.

    report = diagnose(Addresses(service="http://10.0.0.7:3000"))

One file holds one kind of check: what was seen goes into a small dataclass, and a pure function says what is wrong with
it. Nothing here starts, changes or keeps anything, and each question has an end after a few seconds.
"""

from doctor.finding import Finding, Severity
from doctor.given import Addresses, Given
from doctor.report import diagnose

__all__ = ["Addresses", "Finding", "Given", "Severity", "diagnose"]
