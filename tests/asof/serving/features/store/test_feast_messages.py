"""Feast's messages are had without Feast, and Feast itself is none the worse for it."""

import subprocess
import sys

from asof.settings import PROJECT


def run(script: str) -> str:
    command = [sys.executable, "-W", "error", "-c", script]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_messages_come_alone_and_leave_nothing_behind() -> None:
    told = run("""
import sys
from asof.serving.features.store.feast_messages import feast_messages
found = feast_messages()
nobody = found.entity_key(join_keys=["user_id"], entity_values=[found.value(string_val="x")])
print(found.serialize_entity_key(nobody, 3).hex())
print([name for name in sys.modules if name.split(".")[0] in ("feast", "pandas", "numpy", "pyarrow", "sqlalchemy")])
""")
    key = b"\x01\0\0\0\x02\0\0\0\x07\0\0\0user_id\x02\0\0\0\x01\0\0\0x"
    assert told.splitlines() == [key.hex(), "[]"]


def test_feast_is_whole_for_whoever_imports_it_at_the_same_time_or_afterwards() -> None:
    told = run("""
import sys, threading, warnings
sys.setswitchinterval(1e-5)
from asof.serving.features.store.feast_messages import feast_messages
start, seen = threading.Barrier(6), []

def whole():
    start.wait()
    import feast
    seen.append(hasattr(feast, "FeatureStore") and hasattr(feast, "protos") and hasattr(feast, "infra"))

def messages():
    start.wait()
    seen.append(feast_messages.__wrapped__().value(int64_val=7).int64_val == 7)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what Feast and its own imports say when they are imported
    threads = [threading.Thread(target=each) for each in (whole, messages) * 3]
    for each in threads: each.start()
    for each in threads: each.join()
    import feast
    from feast.protos.feast.types.Value_pb2 import Value
print(len(seen), all(seen), feast.protos.__name__, feast.infra.__name__, Value is feast_messages().value)
""")
    assert told.splitlines() == ["6 True feast.protos feast.infra True"]
