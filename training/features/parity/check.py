"""Snapshots and online store -> Parity: whether both hold the same of each user, feature by feature.

The offline side is what a training set would be made of, the online side what the service would see. Both are read in
chunks of users: memory does not grow with their number.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from asof.errors import ConfigurationError
from asof.features.feature_contract import Feature, FeatureContract
from asof.features.feature_store import definition_records, feature_store, read_contract
from asof.settings import Settings
from asof.use_case import UseCase
from training.data.snapshots.known_at import KnownTables, tables_known_at
from training.features.parity.offline_side import OfflineView, Users, newest_moment
from training.features.parity.online_side import OnlineSide
from training.features.parity.tally import Column, Example, FeatureParity, Tally
from training.features.parity.verdicts import Verdict, upper_bound

if TYPE_CHECKING:
    from feast import FeatureStore, FeatureView

UNREADABLE = ("CREATED", "GENERATED")
"""Feast's states of a view in which it refuses a lookup."""

CHUNK = 400
"""Users read at once: with five views few enough for Feast to read all of them in one query, as for the service."""

ENOUGH = 20_000
"""Users compared after each materialisation and in the gate: if no user of so many differs, less than 0.015 % do."""


@dataclass(frozen=True)
class Parity:
    """The comparison of `users` users (of `population`) as of `as_of`, as known at `known_at`.

    `differing_users` have at least one value that differs. With a confidence of 95 % no greater share of the population
    does than `differing_at_most`; where everybody was compared it is the share itself. `misfit` says where what filled
    the online store was defined otherwise than what is registered, with the next step; empty where nothing was.
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
        """How many values got each verdict, every verdict named."""
        return {verdict: sum(each.verdicts[verdict] for each in self.features) for verdict in Verdict}

    @property
    def differences(self) -> int:
        """Values that are not equal."""
        return sum(self.verdicts.values()) - self.verdicts[Verdict.EQUAL]

    @property
    def agrees(self) -> bool:
        """Whether something was compared, and nothing differs."""
        return self.users > 0 and self.differences == 0 and not self.misfit

    @property
    def wrong(self) -> int:
        """Differences without those past their ttl: how old a row may be, the service judges itself, by its clock."""
        return self.differences - self.verdicts[Verdict.PAST_TTL]


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
    """Compares both as of the newest moment up to `as_of` (default: now) of which there is a snapshot.

    Only rows known at `known_at` (default: now) count. A view's ttl is applied at the moment of that snapshot: what is
    told does not depend on the day of the check. Compared are the features of `feature_service` (default: those of all
    estimators of the use case), of all users of that moment or of `sample` of them, drawn by a hash of moment and user.
    Where there is no snapshot no user is compared.
    """
    limit, known = as_of or settings.now(), known_at or datetime.now(UTC)
    services = [feature_service] if feature_service else _services(use_case)
    with tables_known_at(settings, use_case.extract, as_of=limit, known_at=known) as tables:
        users, moment = Users(tables, use_case.extract), newest_moment(tables, use_case.extract) or limit
        population = users.count()
        drawn = sample if sample and sample < population else None
        with feature_store(settings) as store:
            contracts = [read_contract(store, store.get_feature_service(name)) for name in services]
            sides, tally = _sides(store, tables, contracts, moment), Tally()
            for chunk in _chunks(users, drawn, moment):
                tally.add(chunk, sides.read(chunk))
                progress(f"{tally.users:,} of {drawn or population:,} users compared")
    return Parity(
        use_case=use_case.name,
        as_of=moment.astimezone(UTC),
        known_at=known,
        population=population,
        users=tally.users,
        differing_users=tally.differing_users,
        differing_at_most=_at_most(tally, whole=drawn is None),
        features=tally.features(),
        examples=tally.shown(),
        misfit=_misfit(settings, contracts),
    )


def _misfit(settings: Settings, contracts: Iterable[FeatureContract]) -> str:
    found = (definition_records(settings, contract).mismatch(contract, contract) for contract in contracts)
    return next((each for each in found if each), "")


def _at_most(tally: Tally, *, whole: bool) -> float:
    if whole and tally.users:
        return tally.differing_users / tally.users
    return upper_bound(tally.differing_users, tally.users)


def _services(use_case: UseCase) -> list[str]:
    return sorted({estimator.feature_service for estimator in use_case.estimators.values()})


def _chunks(users: Users, drawn: int | None, moment: datetime) -> Iterator[list[str]]:
    if drawn is None:
        yield from users.pages(CHUNK)
    else:
        # With the moment in the hash each month draws users of its own, and the same month the same ones again.
        chosen = users.draw(drawn, f"asof-parity:{moment.astimezone(UTC).isoformat()}:")
        yield from (chosen[start : start + CHUNK] for start in range(0, len(chosen), CHUNK))


@dataclass(frozen=True)
class _Sides:
    online: OnlineSide
    views: Sequence[OfflineView]

    def read(self, users: Sequence[str]) -> list[Column]:
        online = dict(zip(self.online.features, self.online.read(users), strict=True))
        return [
            Column(feature, held, online[feature], view.oldest)
            for view in self.views
            for feature, held in zip(view.features, view.read(users), strict=True)
        ]


def _sides(
    store: "FeatureStore", tables: KnownTables, contracts: Sequence[FeatureContract], moment: datetime
) -> _Sides:
    (entity,) = {contract.entity for contract in contracts}
    features: tuple[Feature, ...] = tuple(dict.fromkeys(each for contract in contracts for each in contract.features))
    views = [
        OfflineView(tables, _readable(store, name), entity, [each for each in features if each.view == name], moment)
        for name in dict.fromkeys(each.view for each in features)
    ]
    return _Sides(OnlineSide(store, entity, features), views)


def _readable(store: "FeatureStore", name: str) -> "FeatureView":
    """Raises ConfigurationError where Feast would not read the view online."""
    view = store.get_feature_view(name)
    if view.state.name in UNREADABLE:
        raise ConfigurationError(
            f"Feast does not read {name} online ({view.state.name}): a materialisation of it has failed or was killed. "
            "Run `python -m flows ingest`."
        )
    return view


def summary(parity: Parity) -> str:
    """How much was compared, and how much differs; of a sample also how far that reaches."""
    values = sum(parity.verdicts.values())
    told = f"{parity.differences:,} of {values:,} values of {parity.users:,} users differ"
    if past := parity.verdicts[Verdict.PAST_TTL]:
        told += f", {past:,} of them past their ttl"
    if parity.users < parity.population:
        told += f"; with 95 % confidence no more than {parity.differing_at_most:.3%} of {parity.population:,} users do"
    return f"{told}, as of {_told(parity.as_of)} as known at {_told(parity.known_at)}"


def next_step(parity: Parity) -> str:
    """What to do where something differs; an empty sentence where nothing does."""
    if not parity.users:
        return (
            f"There is no snapshot up to {_told(parity.as_of)}, so nothing was compared: run `python -m flows ingest`."
        )
    if parity.misfit:
        return f"{parity.misfit[:1].upper()}{parity.misfit[1:]}"
    if parity.wrong:
        return (
            "Run `python -m flows ingest`: it writes online what was loaded or defined since its last time. What "
            "differs after that was written by somebody else, or was lost: `python -m flows ingest --whole` writes "
            "every view anew. A store that is to show another moment is compared with --as-of."
        )
    if parity.differences:
        return (
            "The newest rows of these users are older than their view's ttl, and still read as present: deliver newer "
            "ones. Until then the service refuses or flags them, as the view's tag `staleness` says."
        )
    return ""


def _told(moment: datetime) -> str:
    return moment.isoformat(timespec="minutes")
