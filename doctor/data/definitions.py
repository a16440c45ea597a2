"""Checks of the feature definitions in feature_repo/ and in Feast's registry."""

from collections.abc import Iterator, Mapping, Sequence

from asof.errors import ConfigurationError
from asof.features.feast.messages import feast_messages
from doctor.context import Context
from doctor.data.loads import registered_views
from doctor.finding import Finding, error, listed, note, warning
from doctor.platforms.database import Connection, read_only
from training.features.materialisation.applied import is_applied
from training.release.promotion.acceptance import Acceptance, acceptances

INTERRUPTED = ("MATERIALIZING", "GENERATED")
"""Feast's states of a view during a materialisation; they remain if the process is killed."""
MAX_ACCEPTANCES = 5
"""Acceptances that are reported, newest first."""


def check_definitions(context: Context) -> Iterator[Finding]:
    """Unapplied, unfinished, accepted and unsupported definitions. Feast is opened only if its tables exist."""
    with read_only(context.settings) as connection:
        if not registered_views(connection):
            return
        yield from check_materialising(_states(connection))
        yield from list_accepted(acceptances(context.settings))
    if is_applied(context.settings):
        return
    from training.features.materialisation.feature_registry import broken_files, unapplied_features

    try:
        for broken in broken_files():
            fix = "Correct the file: its use case cannot be ingested; the others can."
            yield error(f"feature-file:{broken.split()[0]}", broken, fix)
        yield from check_unapplied(unapplied_features(context.settings))
    except ConfigurationError as wrong:
        yield error("unsupported-features", str(wrong), "Change feature_repo/; an ingest begins with the same check.")


def check_materialising(states: Mapping[str, str]) -> Iterator[Finding]:
    """Views whose materialisation has started and not finished."""
    if stuck := [view for view, state in states.items() if state in INTERRUPTED]:
        found = f"Views are being materialised, or their materialisation was killed: {listed(stuck)}."
        yield warning("materialising", found, "Unless a materialisation runs now: python -m flows ingest")


def list_accepted(accepted: Sequence[Acceptance]) -> Iterator[Finding]:
    """Definitions that were accepted as equivalent; the newest ones."""
    for each in accepted[:MAX_ACCEPTANCES]:
        found = (
            f"{each.view} is accepted as what {each.model} version {each.version} was trained on ({each.changes}): by "
            f"{each.who} at {each.accepted_at:%Y-%m-%d %H:%M}, because: {each.reason}"
        )
        yield note(f"accepted-definition:{each.view}", found)


def _states(connection: Connection) -> dict[str, str]:
    message = feast_messages().feature_view
    rows = connection.execute("SELECT feature_view_proto FROM feature_views ORDER BY feature_view_name", binary=True)
    views = [message.FromString(row[0]) for row in rows]
    names = message().meta.DESCRIPTOR.fields_by_name["state"].enum_type.values_by_number
    return {view.spec.name: names[view.meta.state].name for view in views}


def check_unapplied(names: list[str]) -> Iterator[Finding]:
    """Changes in feature_repo/ that are not applied."""
    if names:
        found = f"feature_repo/ differs from what is registered: {listed(names)}."
        fix = 'eval "$(make -s env)" && cd feature_repo && feast apply  (an ingest does it too)'
        yield warning("unapplied", found, fix)
