"""Feast's messages are loaded without Feast, whose own import stays intact."""

import subprocess
import sys

from asof.settings import PROJECT


def run(script: str) -> str:
    command = [sys.executable, "-W", "error", "-c", script]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_messages_are_loaded_without_feast_in_sys_modules() -> None:
    output = run("""
import sys
from asof.features.feast.messages import feast_messages
view = feast_messages().feature_view()
view.spec.name = "users_fv"
print(view.SerializeToString().hex())
print([name for name in sys.modules if name.split(".")[0] in ("feast", "pandas", "numpy", "pyarrow", "sqlalchemy")])
""")
    view = b"\x0a\x0a\x0a\x08users_fv"
    assert output.splitlines() == [view.hex(), "[]"]


def test_feast_is_complete_when_imported_concurrently_or_later() -> None:
    output = run("""
import sys, threading, warnings
sys.setswitchinterval(1e-5)
from asof.features.feast.messages import feast_messages
start, seen = threading.Barrier(6), []

def whole():
    start.wait()
    import feast
    seen.append(hasattr(feast, "FeatureStore") and hasattr(feast, "protos") and hasattr(feast, "infra"))

def messages():
    start.wait()
    seen.append(feast_messages.__wrapped__().value_types.Value("INT64") == 4)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what Feast and its own imports say when they are imported
    threads = [threading.Thread(target=each) for each in (whole, messages) * 3]
    for each in threads: each.start()
    for each in threads: each.join()
    import feast
    from feast.protos.feast.core.Entity_pb2 import Entity
print(len(seen), all(seen), feast.protos.__name__, feast.infra.__name__, Entity is feast_messages().entity)
""")
    assert output.splitlines() == ["6 True feast.protos feast.infra True"]
