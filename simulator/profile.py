"""Who a user is and what is subscribed to, drawn in the month of sign-up; only age and bill change later.

A slot holds one user at a time: a user who leaves is replaced by a new one.
"""

from dataclasses import dataclass, fields, replace
from datetime import date

import numpy as np
from numpy.typing import NDArray

from asof.use_cases.churn.raw_schema import NET_SERVICES, NO_INTERNET
from simulator.draws import Bools, Draws, Floats, Ints

NO_NET = NET_SERVICES.index(NO_INTERNET)
BASE_FEE = np.array([45.0, 70.0, 20.0])
"""By net service, in the order of NET_SERVICES, without streaming plans and extras."""
EXTRAS = np.array([[0.40, 0.30, 0.20, 0.10], [0.15, 0.25, 0.30, 0.30], [0.78, 0.22, 0.0, 0.0]])
"""Shares of none, one, two and three extras, by net service."""
MAX_USERS = 100_000_000


@dataclass(frozen=True)
class Market:
    """Shares of the contracts, in the order of CONTRACTS, and of the net services within each contract."""

    contracts: tuple[float, float, float]
    net_services: tuple[tuple[float, float, float], ...]


STOCK = Market((0.56, 0.21, 0.23), ((0.32, 0.56, 0.12), (0.387, 0.376, 0.237), (0.37, 0.263, 0.367)))
"""The users at the start of the simulation, similar to the public Telco sample."""
ARRIVALS = Market((0.912, 0.064, 0.024), ((0.27, 0.68, 0.05), (0.387, 0.43, 0.183), (0.37, 0.27, 0.36)))
"""New users. Few have long contracts, but those stay, so that the stock remains about the same."""
EXIT_RATES = np.array([0.13, 0.04, 0.02])
"""Monthly share that leaves, by contract, which determines the ages of STOCK."""
MAX_AGE = 60
"""In months, at the start of the simulation."""


@dataclass(frozen=True)
class Profile:
    """One row for each slot, every field of shape (rows,). Money in cents; contract and net_service are indices."""

    number: Ints
    signup_day: NDArray[np.datetime64]
    months_active: Ints
    male: Bools
    senior: Bools
    family: Bools
    dependents: Bools
    contract: Ints
    net_service: Ints
    tv: Bools
    movies: Bools
    paperless: Bools
    fee: Ints
    paid: Ints
    devices: Ints
    usual_hours: Floats
    bad_line: Floats
    bad_payer: Floats
    usual_resolution: Floats


def opening(draws: Draws, as_of: date) -> Profile:
    """The users of the first month: contracts of STOCK, ages by EXIT_RATES, and lower bills in the past."""
    contract = draws.choice("contract", STOCK.contracts)
    stay = np.log1p(-EXIT_RATES[contract])
    reached = -np.expm1(stay * MAX_AGE)
    age = 1 + np.floor(np.log1p(-draws.uniform("age") * reached) / stay).astype(np.int64)
    users = _sign_up(draws, as_of, contract, STOCK)
    paid = users.fee * age * (1 - 0.0015 * age * draws.uniform("paid"))
    first_month = np.datetime64(as_of, "M") - (age - 1)
    return replace(
        users,
        months_active=age,
        paid=np.rint(paid).astype(np.int64),
        signup_day=_day_of(first_month, draws.uniform("signup_day")),
    )


def arrivals(draws: Draws, as_of: date) -> Profile:
    """Users who signed up in the month of `as_of`, one for each slot, with the first bill paid."""
    return _sign_up(draws, as_of, draws.choice("contract", ARRIVALS.contracts), ARRIVALS)


def renewed(users: Profile, left: Bools, draws: Draws, as_of: date) -> Profile:
    """A month later: users who left are replaced, the others are a month older and have paid one more bill."""
    stayed = replace(users, months_active=users.months_active + 1, paid=users.paid + users.fee)
    return _choose(left, arrivals(draws, as_of), stayed)


def _sign_up(draws: Draws, as_of: date, contract: Ints, market: Market) -> Profile:
    net = draws.choice("net_service", np.array(market.net_services)[contract])
    tv = draws.chance("tv", np.array([0.40, 0.57, 0.0])[net])
    movies = draws.chance("movies", np.where(net == NO_NET, 0.0, np.where(tv, 0.68, 0.26)))
    family = draws.chance("family", 0.48)
    fee = _fee(draws, net, tv.astype(np.int64) + movies)
    return Profile(
        number=draws.month * MAX_USERS + draws.first + np.arange(draws.rows),
        signup_day=_day_of(np.full(draws.rows, np.datetime64(as_of, "M")), draws.uniform("signup_day")),
        months_active=np.ones(draws.rows, dtype=np.int64),
        male=draws.chance("male", 0.505),
        senior=draws.chance("senior", 0.16),
        family=family,
        dependents=draws.chance("dependents", np.where(family, 0.51, 0.10)),
        contract=contract,
        net_service=net,
        tv=tv,
        movies=movies,
        paperless=draws.chance("paperless", np.array([0.60, 0.72, 0.32])[net]),
        fee=fee,
        paid=fee,
        devices=1 + draws.choice("devices", (0.33, 0.34, 0.33)),
        usual_hours=np.array([28.6, 33.7, 23.0])[net] + 4.2 * draws.normal("usual_hours"),
        bad_line=draws.normal("bad_line"),
        bad_payer=draws.normal("bad_payer"),
        usual_resolution=np.clip(10 + 3.6 * draws.normal("usual_resolution"), 1, 40),
    )


def _fee(draws: Draws, net: Ints, plans: Ints) -> Ints:
    """Cents a month, in steps of five."""
    extras = draws.choice("extras", EXTRAS[net])
    units = BASE_FEE[net] + 10 * plans + 5 * extras + 2 * draws.uniform("fee") - 1
    return np.asarray(np.rint(units * 20) * 5, dtype=np.int64)


def _day_of(month: NDArray[np.datetime64], share: Floats) -> NDArray[np.datetime64]:
    """A day of the calendar month, by the share of the month before it."""
    start, end = month.astype("M8[D]"), (month + 1).astype("M8[D]")
    return np.asarray(start + np.floor(share * (end - start).astype(np.int64)).astype("m8[D]"))


def _choose(mask: Bools, chosen: Profile, otherwise: Profile) -> Profile:
    """By slot: `chosen` where the mask is set, else `otherwise`."""
    return Profile(*(np.where(mask, getattr(chosen, f.name), getattr(otherwise, f.name)) for f in fields(Profile)))
