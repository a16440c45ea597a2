"""Numbers as text: a figure is never told without its rows, and its interval where it has one."""

from datetime import UTC, datetime
from math import floor, isfinite, log10

from monitoring.records.figure import Figure, Subject

UNKNOWN = "not known"
TOO_FEW = "too few rows to say"
SHARES = {Subject.MATURITY, Subject.AUDIT}
SHARE_METRICS = {"refused", "verdict", "share_over_threshold", "base_rate", "decisions_differ", "failed"}


def is_share(figure: Figure) -> bool:
    """Whether the figure is a share, from 0 to 1, and told in per cent."""
    return figure.subject in SHARES or figure.metric in SHARE_METRICS


def share(value: float) -> str:
    """0.0304 as 3.0 %; small ones with two significant digits."""
    if not isfinite(value):
        return UNKNOWN
    digits = 1 if value == 0 or abs(value) >= 0.01 else min(6, 1 - floor(log10(abs(100 * value))))
    return f"{100 * value:.{digits}f} %"


def number(value: float | None, *, percent: bool = False) -> str:
    """Three decimals up to ten, four significant digits above; a share in per cent."""
    if value is None or not isfinite(value):
        return UNKNOWN
    if percent:
        return share(value)
    if abs(value) < 10:
        return f"{value:.3f}" if abs(value) >= 0.0005 or value == 0 else f"{value:.1e}"
    return f"{value:,.{max(0, 3 - floor(log10(abs(value))))}f}"


def interval(low: float | None, high: float | None, *, percent: bool = False) -> str:
    """`0.81 to 0.84`, or nothing."""
    if low is None or high is None:
        return ""
    return f"{number(low, percent=percent)} to {number(high, percent=percent)}"


def told(figure: Figure) -> str:
    """`0.823 (0.811 to 0.835; n = 7,043)`."""
    percent = is_share(figure)
    ends = interval(figure.low, figure.high, percent=percent)
    return f"{number(figure.value, percent=percent)} ({f'{ends}; ' if ends else ''}n = {figure.n:,})"


def p_value(value: object) -> str:
    """`0.032`, `< 0.001`, or nothing."""
    if not isinstance(value, int | float):
        return ""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def moment(value: datetime | None) -> str:
    """The day, and the minute in UTC where it is not midnight."""
    if value is None:
        return ""
    value = value.astimezone(UTC)
    return f"{value:%Y-%m-%d}" if f"{value:%H%M%S}" == "000000" else f"{value:%Y-%m-%d %H:%M} UTC"


def counted(count: int, singular: str, plural: str = "") -> str:
    """The number with its noun."""
    return f"{count:,} {singular if count == 1 else plural or f'{singular}s'}"
