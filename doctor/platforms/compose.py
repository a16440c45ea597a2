"""docker-compose.yml, its `.env` and its containers -> secrets that are there and no examples, and what is unwell."""

import re
from collections.abc import Iterator, Mapping, Sequence

import yaml

from doctor.containers import Container, containers
from doctor.finding import Finding, error, listed, note, warning
from doctor.given import Given

FILE = "docker-compose.yml"
REQUIRED = re.compile(r"\$\{([A-Z][A-Z0-9_]*):?\?")
VARIABLE = re.compile(r"\$\{([A-Z][A-Z0-9_]*)(?::?([-?])([^}]*))?\}")
WEAK = {"", "asof", "mlflow", "prefect", "postgres", "password", "secret", "admin", "changeme", "change-me", "example"}
FEWEST = 12
STOPPED = {130, 143}
"""Exit codes of what ended by SIGINT or SIGTERM: somebody stopped it."""
LOOPBACK = {"127.0.0.1", "::1"}
SECRET = ("PASSWORD", "SECRET", "TOKEN", "AUTH", "KEY")


def look_at_compose(given: Given) -> Iterator[Finding]:
    """Every check on the compose stack; nothing is said where it was never started."""
    path = given.project / FILE
    found = containers(given.project)
    if not path.is_file() or not found:
        return
    text = path.read_text()
    yield from secrets(REQUIRED.findall(text), {**given.file, **given.environment})
    yield from unwell(found)
    yield from other_images(found, wanted_images(text, {**given.file, **given.environment}))
    yield from open_ports(found)


def secrets(names: Sequence[str], told: Mapping[str, str]) -> Iterator[Finding]:
    """Variables that docker-compose.yml cannot do without."""
    wanted = sorted(set(names))
    if missing := [name for name in wanted if not told.get(name)]:
        yield error("compose-secrets", f"{FILE} needs {listed(missing)}, and .env does not hold them.", "make secrets")
    secret = [name for name in wanted if told.get(name) and any(word in name for word in SECRET)]
    if weak := [name for name in secret if told[name].lower() in WEAK or len(told[name]) < FEWEST]:
        mend = "Delete these lines from .env, run `make secrets`, and change the passwords in the databases too."
        yield error("compose-weak-secrets", f"Anybody can guess {listed(weak)}: an example, or too short.", mend)
    twice = [name for name in secret if [told[each] for each in secret].count(told[name]) > 1]
    if twice:
        yield warning("compose-same-secrets", f"{listed(twice)} are the same secret.", "Give each its own.")


def unwell(found: Sequence[Container]) -> Iterator[Finding]:
    """Containers that do not run, restart, are not healthy, or were killed for their memory."""
    for each in found:
        name, logs = f"container:{each.service}", f"docker-compose logs --tail 50 {each.service}"
        if each.out_of_memory:
            yield error(name, f"{each.service} was killed: out of memory.", f"Give it more memory. {logs}")
        elif each.state == "exited" and each.exit_code in STOPPED:
            yield note(name, f"{each.service} was stopped.", f"docker-compose start {each.service}")
        elif each.state == "restarting" or (each.state == "exited" and each.exit_code):
            what = "ends again and again" if each.state == "restarting" else "has ended"
            yield error(name, f"{each.service} {what} (exit code {each.exit_code}).", logs)
        elif each.health == "unhealthy":
            yield error(name, f"{each.service} is unhealthy.", logs)
        elif each.restarts:
            yield warning(name, f"{each.service} has restarted {each.restarts} times.", logs)
        elif each.health == "starting":
            yield note(name, f"{each.service} is starting.", "Wait, and look again.")


def other_images(found: Sequence[Container], wanted: Mapping[str, str]) -> Iterator[Finding]:
    """Containers that were made from another image than the file and `.env` now name, or from an older one."""
    by_images: dict[tuple[str, str], list[str]] = {}
    for each in found:
        image = wanted.get(each.service, each.image)
        if image != each.image:
            by_images.setdefault((each.image, image), []).append(each.service)
        elif each.outdated:
            by_images.setdefault((f"an older {image}", "the one of this name that is built now"), []).append(
                each.service
            )
    for (has, image), services in by_images.items():
        told = f"{listed(services)} run {has}; {FILE} says {image}."
        yield warning(f"image:{services[0]}", told, f"docker-compose up -d {' '.join(services)}")


def open_ports(found: Sequence[Container]) -> Iterator[Finding]:
    """Ports that whoever reaches this machine reaches, past its firewall: Docker opens them itself."""
    for each in found:
        wide = sorted({port for host, port in each.published if host not in LOOPBACK})
        if wide:
            told = (
                f"{each.service} is published on every address of this machine (port {listed(list(map(str, wide)))})."
            )
            yield warning(
                f"open-port:{each.service}", told, f"Publish it on 127.0.0.1 in {FILE}, behind a gateway with TLS."
            )


def wanted_images(text: str, told: Mapping[str, str]) -> dict[str, str]:
    """Service -> image, with variables and their defaults filled in; those that name one."""
    filled = VARIABLE.sub(lambda match: told.get(match[1]) or (match[3] or "" if match[2] == "-" else ""), text)
    services = (yaml.safe_load(filled) or {}).get("services", {})
    return {name: str(each["image"]) for name, each in services.items() if each.get("image")}
