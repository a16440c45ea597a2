"""feature_repo/ and Feast's registry -> definitions that are not applied, not finished, accepted or not supported."""

from collections.abc import Iterator, Mapping, Sequence

from asof.errors import ConfigurationError
from asof.serving.features.store.feast_messages import feast_messages
from doctor.data.loads import registered_views
from doctor.finding import Finding, error, listed, note, warning
from doctor.given import Given
from doctor.platforms.database import Connection, reading
from training.release.promotion.acceptance import Acceptance, acceptances

INTERRUPTED = ("MATERIALIZING", "GENERATED")
"""Feast's states of a view that is being materialised, or was when its writer was killed or failed."""
MOST = 5
"""Acceptances that are shown, the newest first."""


def look_at_definitions(given: Given) -> Iterator[Finding]:
    """Whether `feast apply` would change anything. Feast is only opened on a registry that has its tables."""
    with reading(given.settings) as connection:
        if not registered_views(connection):
            return
        yield from materialising(_states(connection))
        yield from accepted(acceptances(given.settings))
    from training.features.materialisation.feature_registry import unapplied_features

    try:
        yield from unapplied(unapplied_features(given.settings))
    except ConfigurationError as wrong:
        yield error("unsupported-features", str(wrong), "Change feature_repo/; an ingest begins with the same check.")


def materialising(states: Mapping[str, str]) -> Iterator[Finding]:
    """Views that a materialisation has begun to write and not finished."""
    if stuck := [view for view, state in states.items() if state in INTERRUPTED]:
        found = f"Feast's registry has views that are being materialised, or whose writer was killed: {listed(stuck)}."
        yield warning("materialising", found, "Unless a materialisation runs now: python -m flows ingest")


def accepted(each: Sequence[Acceptance]) -> Iterator[Finding]:
    """Definitions that were accepted as equivalent."""
    for one in each[:MOST]:
        found = (
            f"{one.view} is accepted as what {one.model} version {one.version} was trained on ({one.changes}): by "
            f"{one.who} at {one.accepted_at:%Y-%m-%d %H:%M}, because: {one.reason}"
        )
        yield note(f"accepted-definition:{one.view}", found)


def _states(connection: Connection) -> dict[str, str]:
    message = feast_messages().feature_view
    rows = connection.execute("SELECT feature_view_proto FROM feature_views ORDER BY feature_view_name", binary=True)
    views = [message.FromString(row[0]) for row in rows]
    names = message().meta.DESCRIPTOR.fields_by_name["state"].enum_type.values_by_number
    return {view.spec.name: names[view.meta.state].name for view in views}


def unapplied(names: list[str]) -> Iterator[Finding]:
    """What was changed in feature_repo/ and is not applied yet."""
    if names:
        found = f"feature_repo/ differs from what is registered: {listed(names)}."
        yield warning(
            "unapplied", found, 'eval "$(make -s env)" && cd feature_repo && feast apply  (an ingest does it too)'
        )
