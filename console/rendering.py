"""Templates -> HTML. What they show is escaped: an entity or a reason may contain markup."""

from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from monitoring.report.page import ticked

if TYPE_CHECKING:
    from jinja2 import Environment


def render(template: str, **context: Any) -> str:
    """The page of `templates/{template}.html`."""
    return _environment().get_template(f"{template}.html").render(**context)


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = (moment, number, answer_member, value, age, ticked)
    environment.filters |= {each.__name__: each for each in filters}
    return environment


def moment(when: datetime | None) -> str:
    """In UTC, to the minute."""
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M}" if when else "-"


def number(figure: float | None) -> str:
    """Whole numbers in full, others with four digits: after the point of a small one, of a larger one in all."""
    if figure is None:
        return "-"
    if float(figure).is_integer() and abs(figure) < 1e15:
        return f"{figure:,.0f}"
    return f"{figure:.4f}" if 1e-3 <= abs(figure) < 10 else f"{figure:,.4g}"


def answer_member(member: Any) -> str:
    """A member of an answer: numbers as `number`, objects by their members."""
    match member:
        case bool():
            return str(member).lower()
        case int() | float():
            return number(member)
        case dict():
            return ", ".join(f"{name} {answer_member(each)}" for name, each in member.items())
        case _:
            return str(member)


def value(kept: Any) -> str:
    """A value with all its digits."""
    return "null" if kept is None else str(kept)


def age(seconds: float | None) -> str:
    """The largest unit that is whole: days, hours or minutes."""
    if seconds is None:
        return "-"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if abs(seconds) >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
