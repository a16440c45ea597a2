"""feature_repo/ beside Feast's registry -> definitions that nobody has applied."""

from collections.abc import Iterator

from flows.doctor.database import reading
from flows.doctor.finding import Finding, listed, warning
from flows.doctor.given import Given
from flows.doctor.loads import registered_views


def look_at_definitions(given: Given) -> Iterator[Finding]:
    """Whether `feast apply` would change anything. Feast is only opened on a registry that has its tables."""
    with reading(given.settings) as connection:
        if not registered_views(connection):
            return
    from training.materialise import unapplied_features

    yield from unapplied(unapplied_features(given.settings))


def unapplied(names: list[str]) -> Iterator[Finding]:
    """What was changed in feature_repo/ and does not count yet."""
    if names:
        found = f"feature_repo/ defines otherwise than is registered: {listed(names)}."
        yield warning(
            "unapplied", found, 'eval "$(make -s env)" && cd feature_repo && feast apply  (an ingest does it too)'
        )
