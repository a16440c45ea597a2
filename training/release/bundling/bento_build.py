"""Building Bentos of the project's current sources into BentoML's store, and the tag `NAME:latest`."""

import compileall
import shutil
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from py_compile import PycInvalidationMode
from typing import Any

from asof.settings import PROJECT
from training.release.registry.tags import BENTOFILE


def build(tag: str, *, keep_latest: bool, **arguments: str) -> bool:
    """Builds the Bento with that tag; False where it exists already. The arguments are those of service.py.

    `NAME:latest` becomes this Bento, even where a newer one exists; with `keep_latest`, only where there is none.
    """
    import bentoml
    from bentoml._internal.configuration.containers import BentoMLContainer

    name, _, version = tag.partition(":")
    kept = find(bentoml.bentos, f"{name}:latest") if keep_latest else None
    bento = find(bentoml.bentos, tag)
    if created := bento is None:
        BentoMLContainer.enabled_features.set(["no_image"])  # our template makes the image; BentoML would warn of it
        with whole(BentoMLContainer.bento_store_dir.get(), tag):
            # `reload`: this process may have built another Bento from the same service.py.
            with chdir(PROJECT):  # BentoML takes lock and template from the working folder only
                bento = bentoml.bentos.build_bentofile(
                    str(BENTOFILE), version=version, build_ctx=str(PROJECT), args=arguments, reload=True
                )
            # Byte code, checked by the source's hash: a read-only image would compile at each start.
            compileall.compile_dir(bento.path_of("src"), quiet=1, invalidation_mode=PycInvalidationMode.CHECKED_HASH)
    # BentoML keeps the version in a file `latest` beside the Bentos of a name, and overwrites it at each build.
    latest = kept or bento
    (Path(latest.path).parent / "latest").write_text(str(latest.tag.version))
    return created


@contextmanager
def whole(store: str, tag: str) -> Iterator[None]:
    """Deletes what an interruption of the block leaves of a new item; BentoML itself does so only after an error."""
    try:
        yield
    except Exception:
        raise
    except BaseException:
        shutil.rmtree(Path(store, *tag.split(":")), ignore_errors=True)
        raise


def is_built(home: Path, tag: str) -> bool:
    """Whether BentoML's store in `home` holds the Bento and a `NAME:latest`, without importing BentoML."""
    name, _, version = tag.partition(":")
    return all((home / "bentos" / name / each).is_file() for each in (f"{version}/bento.yaml", "latest"))


def find(store: Any, tag: str) -> Any:
    """The store's item with the tag, or None."""
    from bentoml.exceptions import NotFound

    try:
        return store.get(tag)
    except NotFound:
        return None
