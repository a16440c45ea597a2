"""`flows trace`: finds the subject of a trace and prints its chain as a tree."""

import sys
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from asof.errors import DataError, ModelError
from asof.extracts.cadence import moment_text
from asof.ledger.reading.kept_answer import ERASED
from asof.settings import Settings
from asof.use_case import UseCase
from flows.terminal.output import Verbosity, verbosity
from training.audit.lineage.answers import Answer, read_answer
from training.audit.lineage.loads import Load, OnDisk
from training.audit.lineage.trace import AnswerChain, AnswerChains, trace_answer, trace_request, trace_version
from training.audit.lineage.training_set import SetOrigin, Share
from training.audit.lineage.values import ValueOrigin
from training.audit.lineage.version import VersionChain
from training.release.promotion.history import Entry

CONSOLE_WIDTH = 10_000
FILE = {
    OnDisk.SAME: "the file is the same",
    OnDisk.CHANGED: "the file has changed",
    OnDisk.GONE: "the file is gone",
    OnDisk.QUERIED: "of its rows, as CSV by key",
}


Chain = AnswerChain | AnswerChains | VersionChain


def trace(settings: Settings, use_case: UseCase, subject: str) -> Chain:
    """The chain of a version (a number), a request id, or an answer: JSON text, a file that holds it, `-` for stdin.

    A number that is no version is a request id. Raises ModelError or DataError if there is no such subject.
    """
    if subject.isascii() and subject.isdecimal():
        return _numbered(settings, use_case, subject)
    if subject == "-":
        return trace_answer(settings, use_case, read_answer(sys.stdin.read(), use_case, "stdin"))
    if subject.lstrip().startswith(("{", "[")):
        return trace_answer(settings, use_case, read_answer(subject, use_case, "the argument"))
    if (path := Path(subject)).is_file():
        text = path.read_text(encoding="utf-8", errors="replace")
        return trace_answer(settings, use_case, read_answer(text, use_case, subject))
    return trace_request(settings, use_case, subject)


def _numbered(settings: Settings, use_case: UseCase, number: str) -> Chain:
    """A version, else a request id, as clients may use numbers. Raises ModelError if it is neither."""
    try:
        return trace_version(settings, use_case, number)
    except ModelError as no_version:
        try:
            return trace_request(settings, use_case, number)
        except DataError as no_answer:
            raise ModelError(f"{no_version} {no_answer}") from None


def print_chain(chain: Chain) -> None:
    """Prints the chain without line breaks, so that digests can be copied; with --quiet whether it is whole."""
    console = Console(width=CONSOLE_WIDTH, highlight=False)
    if verbosity() is Verbosity.QUIET:
        console.print(Text(_verdict(chain.broken)))
        return
    if isinstance(chain, AnswerChains):
        console.print(Text(f"{len(chain.answers)} answers of the request id {chain.request_id}, the oldest first"))
    for each in chain.answers if isinstance(chain, AnswerChains) else (chain,):
        console.print(_tree(each))


def _tree(chain: AnswerChain | VersionChain) -> Tree:
    """The chain, followed by a list of its broken links."""
    if isinstance(chain, AnswerChain):
        top = Tree(f"answer {chain.answer.request_id}", guide_style="dim")
        _answer(top, chain.answer)
        for value in chain.values:
            _value(top, value)
        if chain.model:
            _version(_branch(top, _name(chain.model)), chain.model)
    else:
        top = Tree(_name(chain), guide_style="dim")
        _version(top, chain)
    broken = dict.fromkeys(chain.broken)
    end = _branch(top, _verdict(broken), "bold red" if broken else "green")
    _leaves(end, broken)
    return top


def _verdict(broken: Collection[str]) -> str:
    return "broken links" if broken else "no link of this chain is broken"


def _answer(top: Tree, answer: Answer) -> None:
    answered = f"answered {answer.at:%Y-%m-%d %H:%M:%S} UTC" if answer.at else "without a time"
    outcome = _outcome(answer)
    flags = [f"flagged: {', '.join(answer.flags)}"] if answer.flags else []
    entity = f"of {_named(answer.entity)}" if answer.entity is not None else "features in the request"
    _leaves(top, [f"{outcome} ({answer.status}), {entity}, {answered}", *flags, f"found in {answer.found_in}"])
    if given := [each for each in answer.values if each.view is None]:
        _leaves(_branch(top, "given in the request"), (f"{each.feature} {_shown(each.value)}" for each in given))


def _outcome(answer: Answer) -> str:
    if answer.code == ERASED:
        return "erased: its entity, values and score are gone"
    return f"refused: {answer.code}" if answer.code else "a prediction"


def _named(entity: str | int | Mapping[str, str | int]) -> str:
    if isinstance(entity, Mapping):
        return ", ".join(f"{name} {value}" for name, value in entity.items())
    return str(entity)


def _value(top: Tree, value: ValueOrigin) -> None:
    features = f": {', '.join(value.features)}" if value.features else ""
    node = _branch(top, f"{value.view} as of {value.as_of:%Y-%m-%d %H:%M}{features}")
    if value.created_at:
        _branch(node, f"row of {value.table}, known since {value.created_at:%Y-%m-%d %H:%M}")
    if value.load:
        _load(node, value.load)
    for each in value.values:
        differs = "" if each.same else f", but {_shown(each.in_row)} in the row"
        _branch(node, f"{each.feature} {_shown(each.kept)}{differs}", "red" if differs else "")
    if value.deduced:
        _branch(node, f"deduced: {value.deduced}", "yellow")
    if value.broken:
        _branch(node, value.broken, "red")


def _shown(value: Any) -> str:
    """Text as it is, a number with all its digits."""
    return "null" if value is None else str(value)


def _version(top: Tree, chain: VersionChain) -> None:
    history = _branch(top, "history" if chain.promotions else "history: no entry names it")
    _leaves(history, map(_promotion, chain.promotions))
    training = chain.training
    run = _branch(top, f"run {training.run_id}, {training.started_at:%Y-%m-%d %H:%M:%S} UTC")
    environment = ", ".join(f"{name} {value}" for name, value in training.environment.items()) or "not recorded"
    _leaves(
        run,
        [
            f"estimator {training.estimator}, random state {training.random_state}",
            f"code {training.git_commit}",
            f"environment: {environment}",
            f"model digest {training.model_digest or 'not recorded'}",
        ],
    )
    if signature := chain.signature:
        _branch(top, f"signed by key {signature.signed_by}: {signature.files} files, all as signed")
    else:
        _branch(top, "no trusted signature", "red")
    _training_set(top, chain.training_set)


def _promotion(entry: Entry) -> str:
    before = f" after {entry.previous}" if entry.previous else ""
    return (
        f"{entry.seq}: {entry.event} {entry.version}{before}, {entry.at:%Y-%m-%d %H:%M} by {entry.who}: {entry.reason}"
    )


def _training_set(top: Tree, origin: SetOrigin) -> None:
    node = _branch(top, f"training set {origin.fingerprint}")
    rows = f"{origin.rows} rows, digest {origin.rows_digest or 'not recorded'}"
    moments = f"as of {origin.as_of:%Y-%m-%d %H:%M}, as known at {origin.known_at:%Y-%m-%d %H:%M:%S}"
    service = origin.feature_service or "features of the use case's own data set"
    _leaves(node, [rows, moments, f"{service}, contract {origin.contract_digest}"])
    for sentence in origin.deduced:
        _branch(node, f"deduced: {sentence}", "yellow")
    for source in origin.sources:
        below = _branch(node, source.source)
        for share in source.shares:
            _share(below, share)


def _share(top: Tree, share: Share) -> None:
    node = _branch(
        top, f"{share.rows} rows as of {moment_text(share.as_of)}, known since {share.created_at:%Y-%m-%d %H:%M}"
    )
    if share.load:
        _load(node, share.load)
    else:
        _branch(node, "no load contains them, unless they are used in place", "red")


def _load(top: Tree, load: Load) -> None:
    node = _branch(top, f"load {load.load_id}, {load.loaded_at:%Y-%m-%d %H:%M:%S} UTC, by code {load.code_version}")
    queried = f"query of {load.file} on {load.server}, snapshot {load.snapshot}"
    place = _branch(node, queried if load.query else str(Path(load.folder) / load.file))
    _branch(place, f"sha256 {load.sha256} ({FILE[load.on_disk]})", "red" if load.on_disk is OnDisk.CHANGED else "")


def _name(chain: VersionChain) -> str:
    return f"{chain.name} version {chain.version}" if chain.version else f"{chain.name}, not registered"


def _branch(top: Tree, text: str, style: str = "") -> Tree:
    """Adds plain text: an entity may contain rich markup."""
    return top.add(Text(text, style=style))


def _leaves(top: Tree, texts: Iterable[str]) -> None:
    for text in texts:
        _branch(top, text)
