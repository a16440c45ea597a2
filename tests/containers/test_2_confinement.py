"""What a container may do, asked of the engine and from inside: who it is, what it can write, whom it can reach."""

import json

import pytest

from tests.containers.stack_kit import JOBS, LONG_RUNNING, Stack, run

WITHOUT_ROOT = tuple(each for each in LONG_RUNNING if each != "postgres")
PROBE = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=4).close()
except OSError as error:
    print(type(error).__name__); sys.exit(1)
"""


@pytest.mark.parametrize("service", [*LONG_RUNNING, *JOBS])
def test_a_container_has_no_more_than_it_needs(stack: Stack, service: str) -> None:
    host = stack.inspect(service)["HostConfig"]

    assert host["ReadonlyRootfs"]
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"] or service == "postgres"
    assert "no-new-privileges:true" in host["SecurityOpt"]
    assert not host["Privileged"]
    assert host["Memory"] > 0
    assert host["PidsLimit"] > 0
    assert host["LogConfig"]["Config"].keys() >= {"max-size", "max-file"}


@pytest.mark.parametrize("service", WITHOUT_ROOT)
def test_from_inside_it_is_an_ordinary_user_without_capabilities_who_can_write_to_nothing_of_the_image(
    stack: Stack, service: str
) -> None:
    program = (
        "import json, os, sys, sysconfig\n"
        "status = dict(l.split(':\\t', 1) for l in open('/proc/1/status').read().splitlines() if ':\\t' in l)\n"
        "refused = []\n"
        "for folder in ('/', '/etc', '/usr', sysconfig.get_path('purelib'), os.getcwd()):\n"
        "    try: open(folder + '/written', 'w').close()\n"
        "    except OSError as error: refused.append(error.strerror)\n"
        "values = [status[name] for name in ('CapEff', 'CapBnd', 'NoNewPrivs')]\n"
        "print(json.dumps([os.getuid(), *values, os.getcwd(), refused]))"
    )
    done = stack.python(service, program)
    assert done.returncode == 0, done.stderr
    uid, effective, bounding, no_new_privileges, folder, refused = json.loads(done.stdout)

    assert uid > 999
    assert int(effective, 16) == int(bounding, 16) == 0
    assert no_new_privileges == "1"
    assert len(refused) == (4 if folder == "/tmp" else 5)


def test_postgresql_itself_runs_as_its_own_user(stack: Stack) -> None:
    values = stack.inside("postgres", "sh", "-c", "grep -h -E '^(Uid|CapEff):' /proc/1/status").stdout.split()
    assert int(values[1]) > 0
    assert int(values[-1], 16) == 0


def test_the_spool_and_the_models_of_the_service_are_mounted_by_nobody_else(stack: Stack) -> None:
    mounted = {
        volume: {each for each in LONG_RUNNING if f"{stack.name}_{volume}" in _volumes(stack, each)}
        for volume in ("spool", "following", "work")
    }
    assert mounted == {
        "spool": {"prediction", "shipper"},
        "following": {"prediction"},
        "work": {"worker-training", "console"},
    }


@pytest.mark.parametrize("folder", ["/var/spool/asof", "/var/lib/asof"])
def test_what_the_service_keeps_is_for_its_user_alone(stack: Stack, folder: str) -> None:
    assert stack.inside("prediction", "stat", "-c", "%a %u:%g", folder).stdout.split() == ["700", "1034:1034"]


def _volumes(stack: Stack, service: str) -> set[str]:
    return {mount["Name"] for mount in stack.inspect(service)["Mounts"] if mount["Type"] == "volume"}


def test_every_port_is_bound_to_loopback(stack: Stack) -> None:
    bound = {
        binding["HostIp"]
        for service in LONG_RUNNING
        for bindings in stack.inspect(service)["NetworkSettings"]["Ports"].values()
        for binding in bindings or ()
    }
    assert bound == {"127.0.0.1"}


def _address(stack: Stack, service: str, network: str) -> str:
    return str(stack.inspect(service)["NetworkSettings"]["Networks"][f"{stack.name}_{network}"]["IPAddress"])


def test_the_prediction_service_reaches_postgresql_and_mlflow_and_nobody_else(stack: Stack) -> None:
    reached = {
        place: stack.inside("prediction", "python", "-c", PROBE, *place).returncode == 0
        for place in (
            ("postgres", "5432"),
            ("mlflow", "5000"),
            ("prefect", "4200"),
            (_address(stack, "prefect", "pipeline"), "4200"),
            (_address(stack, "prefect", "console"), "4200"),
            (_address(stack, "worker-training", "pipeline"), "8080"),
        )
    }
    assert list(reached.values()) == [True, True, False, False, False, False], reached


def test_the_shipper_reaches_postgresql_alone(stack: Stack) -> None:
    (network,) = json.loads(run("docker", "network", "inspect", f"{stack.name}_ledger"))
    assert network["Internal"]
    places = (("postgres", "5432"), (_address(stack, "prediction", "serving"), "3000"), ("mlflow", "5000"))
    assert [stack.inside("shipper", "python", "-c", PROBE, *place).returncode for place in places] == [0, 1, 1]


def test_workers_have_no_way_out(stack: Stack) -> None:
    (network,) = json.loads(run("docker", "network", "inspect", f"{stack.name}_pipeline"))
    assert network["Internal"]
    assert list(stack.inspect("worker-training")["NetworkSettings"]["Networks"]) == [f"{stack.name}_pipeline"]
    for place in ("prediction", _address(stack, "prediction", "serving")):
        assert stack.inside("worker-training", "python", "-c", PROBE, place, "3000").returncode == 1
