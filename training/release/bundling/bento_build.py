"""What a Bento is built with -> the Bento in BentoML's store; its sources are the project's as they are now."""

import compileall
from contextlib import chdir
from pathlib import Path
from py_compile import PycInvalidationMode
from typing import Any

from asof.settings import PROJECT
from training.release.registry.tags import BENTOFILE


def build(tag: str, **arguments: str) -> bool:
    """Builds the Bento of that tag; False where there is one already. The arguments are those of service.py."""
    import bentoml
    from bentoml._internal.configuration.containers import BentoMLContainer

    if find(bentoml.bentos, tag) is not None:
        return False
    BentoMLContainer.enabled_features.set(["no_image"])  # the image is our template's; else it warns that it is
    # `reload`: another Bento may have been built in this process, from the same service.py.
    with chdir(PROJECT):  # BentoML takes no lock and no template from outside of the working folder
        bento = bentoml.bentos.build_bentofile(
            str(BENTOFILE), version=tag.partition(":")[2], build_ctx=str(PROJECT), args=arguments, reload=True
        )
    # Byte code, by the source's digest and not its time: an image may be read-only, and would compile at each start.
    compileall.compile_dir(bento.path_of("src"), quiet=1, invalidation_mode=PycInvalidationMode.CHECKED_HASH)
    return True


def latest(name: str) -> Any:
    """The Bento that `NAME:latest` is, or None."""
    import bentoml

    return find(bentoml.bentos, f"{name}:latest")


def make_latest(bento: Any) -> None:
    """`NAME:latest` becomes this Bento: after a rollback the last one built is not the one that is meant.

    BentoML keeps the version in a file `latest` beside the Bentos of a name, and writes it whenever it builds one.
    """
    (Path(bento.path).parent / "latest").write_text(str(bento.tag.version))


def find(store: Any, tag: str) -> Any:
    """What the store holds under the tag, or None."""
    from bentoml.exceptions import NotFound

    try:
        return store.get(tag)
    except NotFound:
        return None
