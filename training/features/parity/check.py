"""Snapshots and online store -> Parity: whether both hold the same values for each user and feature.

The offline side is what a training set would hold, the online side what the service would read. Both are read in chunks
of users, so memory does not grow with their number.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from asof.extracts.schema import ExtractSchema
from asof.features.feature_contract import Feature, FeatureContract
from asof.features.feature_store import definition_records
from asof.features.join_keys import Entity, require_keys
from asof.settings import Settings
from asof.use_case import UseCase
from training.data.snapshots.reading.known_at import tables_known_at
from training.data.snapshots.reading.replicas import again_at_primary
from training.features.datasets.point_in_time import read_sources
from training.features.datasets.point_in_time_sql import ViewSource
from training.features.parity.offline_side import OfflineView, Users, newest_moment
from training.features.parity.online_side import OnlineSide, open_online_side
from training.features.parity.tally import Example, FeatureColumn, FeatureParity, Tally
from training.features.parity.verdicts import Verdict, upper_bound
from training.ranges.plan import Range, cut_points, ranges_between, without_rules
from training.ranges.run import each_range

RANGE_USERS = 20_000
"""Users in a range: some seconds of comparing, with which progress is reported."""
USERS_PER_READ = 400
"""With five views few enough for Feast to read all of them in one query, as for the service."""

SAMPLE_USERS = 20_000
"""Compared after each materialisation and in the gate: if none of them differs, less than 0.015 % of all users do."""


@dataclass(frozen=True)
class Parity:
    """The comparison of `users` users (of `population`) as of `as_of`, as known at `known_at`.

    `differing_users` have at least one value that differs. `differing_at_most` is an upper bound of their share of the
    population (95 % confidence), or the share itself if all were compared. `misfit` names a view whose online rows
    were written by a definition other than the registered one, with the next step; empty if there is none.
    """

    use_case: str
    as_of: datetime
    known_at: datetime
    population: int
    users: int
    differing_users: int
    differing_at_most: float
    features: tuple[FeatureParity, ...]
    examples: tuple[Example, ...]
    misfit: str = ""

    @property
    def verdicts(self) -> Mapping[Verdict, int]:
        """The number of values with each verdict, zeros included."""
        return {verdict: sum(each.verdicts[verdict] for each in self.features) for verdict in Verdict}

    @property
    def differences(self) -> int:
        """Values that are not equal."""
        return sum(self.verdicts.values()) - self.verdicts[Verdict.EQUAL]

    @property
    def agrees(self) -> bool:
        """Whether anything was compared, and nothing differs."""
        return self.users > 0 and self.differences == 0 and not self.misfit

    @property
    def wrong(self) -> int:
        """Differences other than rows past their ttl, which the service itself refuses or flags by its clock."""
        return self.differences - self.verdicts[Verdict.PAST_TTL]


@again_at_primary
def check_parity(
    settings: Settings,
    use_case: UseCase,
    *,
    as_of: datetime | None = None,
    known_at: datetime | None = None,
    feature_service: str | None = None,
    sample: int | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Parity:
    """Compares both as of the newest snapshot up to `as_of` (default: now), as known at `known_at` (default: now).

    A view's ttl is applied at the moment of that snapshot, so the result does not depend on the day of the check.
    Compared are the features of `feature_service` (default: those of all estimators of the use case), for all users of
    that moment or `sample` of them, drawn by a hash of moment and user; no user if there is no snapshot. Both are
    read at one replica, if there is one. Raises ConfigurationError where the views are keyed otherwise than the
    extract.
    """
    limit, known = as_of or settings.now(), known_at or datetime.now(UTC)
    every = sorted({estimator.feature_service for estimator in use_case.estimators.values()})
    services = [feature_service] if feature_service else every
    with tables_known_at(settings, use_case.extract, as_of=limit, known_at=known, bulk=True) as tables:
        users, moment = Users(tables, use_case.extract), newest_moment(tables, use_case.extract) or limit
        population = users.count()
        drawn = sample if sample and sample < population else None
        # The moment in the hash makes each month draw other users, and the same month the same users again.
        salt = f"asof-parity:{moment.astimezone(UTC).isoformat()}:"
        chosen = users.draw(drawn, salt) if drawn else None
        read = [read_sources(settings, name) for name in services]
        for contract, _ in read:
            require_keys(use_case.extract, contract.feature_service, contract.keys)
        cuts = [] if chosen else cut_points(tables, use_case.extract, as_of=limit, known_at=known, size=RANGE_USERS)
    contracts, keys = [contract for contract, _ in read], users.keys
    sources = {source.view: source for _, each in read for source in each}
    work = CompareRange(without_rules(use_case.extract), contracts, [*sources.values()], moment, chosen)
    ranges, tallies, done = ranges_between(cuts, as_of=limit, known_at=known), dict[int, Tally](), 0
    with closing(each_range(settings, work, ranges)) as results:
        for part, own in results:
            tallies[part.number], done = own, done + own.users
            progress(f"{done:,} of {drawn or population:,} users compared")
    tally = Tally()
    for number in sorted(tallies):
        tally.include(tallies[number])
    whole = drawn is None and tally.users > 0
    mismatches = (definition_records(settings, contract).mismatch(contract, contract) for contract in contracts)
    return Parity(
        use_case=use_case.name,
        as_of=moment.astimezone(UTC),
        known_at=known,
        population=population,
        users=tally.users,
        differing_users=tally.differing_users,
        differing_at_most=(
            tally.differing_users / tally.users if whole else upper_bound(tally.differing_users, tally.users)
        ),
        features=tally.features(),
        examples=tuple(replace(each, entity=keys.members(each.entity)) for each in tally.all_examples()),
        misfit=next(filter(None, mismatches), ""),
    )


@dataclass(frozen=True)
class CompareRange:
    """The work on one range: its users as of `moment`, or those that were `drawn`, which are all in one."""

    extract: ExtractSchema
    contracts: Sequence[FeatureContract]
    sources: Sequence[ViewSource]
    moment: datetime
    drawn: Sequence[Entity] | None

    def __call__(self, settings: Settings, part: Range) -> Tally:
        """The tally of the range; from the primary where a replica is lost."""
        return again_at_primary(self._compared)(settings, part)

    def _compared(self, settings: Settings, part: Range) -> Tally:
        tally = Tally()
        with (
            tables_known_at(settings, self.extract, as_of=part.as_of, known_at=part.known_at, bulk=True) as tables,
            open_online_side(tables.server, self.contracts) as online,
        ):
            users = Users(tables, self.extract, part)
            views = [_offline_view(users, online.features, source, self.moment) for source in self.sources]
            for chunk in self._chunks(users):
                tally.add(chunk, _columns(online, views, chunk))
        return tally

    def _chunks(self, users: Users) -> Iterator[Sequence[Entity]]:
        if self.drawn is None:
            yield from users.pages(USERS_PER_READ)
        else:
            starts = range(0, len(self.drawn), USERS_PER_READ)
            yield from (self.drawn[start : start + USERS_PER_READ] for start in starts)


def _columns(online: OnlineSide, views: Sequence[OfflineView], users: Sequence[Entity]) -> list[FeatureColumn]:
    values = dict(zip(online.features, online.read(users), strict=True))
    return [
        FeatureColumn(feature, offline, values[feature], view.oldest)
        for view in views
        for feature, offline in zip(view.features, view.read(users), strict=True)
    ]


def _offline_view(users: Users, features: Sequence[Feature], source: ViewSource, moment: datetime) -> OfflineView:
    own = [each for each in features if each.view == source.view]
    return OfflineView(users.tables, source, users.keys, own, moment)


def summary(parity: Parity) -> str:
    """How many values were compared and differ; for a sample also the upper bound for the population."""
    values = sum(parity.verdicts.values())
    text = f"{parity.differences:,} of {values:,} values of {parity.users:,} users differ"
    if past := parity.verdicts[Verdict.PAST_TTL]:
        text += f", {past:,} of them past their ttl"
    if parity.users < parity.population:
        text += f"; with 95 % confidence no more than {parity.differing_at_most:.3%} of {parity.population:,} users do"
    return f"{text}, as of {_minute(parity.as_of)} as known at {_minute(parity.known_at)}"


def next_step(parity: Parity) -> str:
    """What to do if something differs; empty if nothing does."""
    if not parity.users:
        return f"There is no snapshot up to {_minute(parity.as_of)} to compare with: run `python -m flows ingest`."
    if parity.misfit:
        return f"{parity.misfit[:1].upper()}{parity.misfit[1:]}"
    if parity.wrong:
        return (
            "Run `python -m flows ingest`, which writes what was loaded or defined since the last materialisation. If "
            "values still differ, others wrote or deleted them: `python -m flows ingest --whole` rewrites every view. "
            "To compare a store that holds another moment, use --as-of."
        )
    if parity.differences:
        return (
            "The newest rows of these users are older than their view's ttl: deliver newer ones. Until then the "
            "service refuses or flags them, as set by the view's tag `staleness`."
        )
    return ""


def _minute(moment: datetime) -> str:
    return moment.isoformat(timespec="minutes")
