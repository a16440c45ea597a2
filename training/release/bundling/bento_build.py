"""Building Bentos of the project's current sources into BentoML's store, and the tag `NAME:latest`."""

import compileall
from contextlib import chdir
from pathlib import Path
from py_compile import PycInvalidationMode
from typing import Any

from asof.settings import PROJECT
from training.release.registry.tags import BENTOFILE


def build(tag: str, **arguments: str) -> bool:
    """Builds the Bento with that tag; False where it exists already. The arguments are those of service.py."""
    import bentoml
    from bentoml._internal.configuration.containers import BentoMLContainer

    if find(bentoml.bentos, tag) is not None:
        return False
    BentoMLContainer.enabled_features.set(["no_image"])  # our template makes the image; BentoML would warn of it
    # `reload`: this process may have built another Bento from the same service.py.
    with chdir(PROJECT):  # BentoML takes lock and template from the working folder only
        bento = bentoml.bentos.build_bentofile(
            str(BENTOFILE), version=tag.partition(":")[2], build_ctx=str(PROJECT), args=arguments, reload=True
        )
    # Byte code, checked by the source's hash: a read-only image would compile at each start.
    compileall.compile_dir(bento.path_of("src"), quiet=1, invalidation_mode=PycInvalidationMode.CHECKED_HASH)
    return True


def latest(name: str) -> Any:
    """The Bento `NAME:latest`, or None."""
    import bentoml

    return find(bentoml.bentos, f"{name}:latest")


def make_latest(bento: Any) -> None:
    """Points `NAME:latest` to this Bento: after a rollback it is not the one that was built last.

    BentoML keeps the version in a file `latest` beside the Bentos of a name, and overwrites it at each build.
    """
    (Path(bento.path).parent / "latest").write_text(str(bento.tag.version))


def find(store: Any, tag: str) -> Any:
    """The store's item with the tag, or None."""
    from bentoml.exceptions import NotFound

    try:
        return store.get(tag)
    except NotFound:
        return None
