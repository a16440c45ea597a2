#!/bin/sh
# requirements/dev.txt in, a complete .venv out: by uv where it works, else by plain pip; the same packages either way.
# Called by `make setup`, which also keeps the stamp: an interrupted run leaves none and is done again.
set -eu

quiet=--quiet
[ -t 2 ] && quiet= # a terminal is shown the progress

say() { echo "setup: $*" >&2; }
fail() { say "$*"; exit 1; }

suitable() { # the command, when it is a Python of ours; a shim that starts nothing is not
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
}

find_python() { # $1: a module that it must have
    for python in "${PYTHON:-python3.13}" python3.13 python3.12 python3.11 python3; do
        if suitable "$python" && "$python" -c "import $1" 2>/dev/null; then
            echo "$python"
            return
        fi
    done
}

# Joined by && throughout: `set -e` does not hold inside a function whose result is asked for.
install_with_uv() {
    python=$(find_python sys) && [ -n "$python" ] && uv --version >/dev/null 2>&1 || return 1
    say "$("$python" --version), packages by uv"
    { suitable .venv/bin/python || uv venv --quiet --clear --python "$python" .venv; } &&
        uv pip sync $quiet --require-hashes --python .venv/bin/python requirements/dev.txt &&
        { .venv/bin/python -m compileall -q -j 0 .venv/lib >/dev/null || true; } # some packages carry broken examples
}

install_with_pip() {
    python=$(find_python ensurepip)
    if [ -z "$python" ]; then
        install_python
        python=$(find_python ensurepip)
    fi
    [ -n "$python" ] || fail "no Python 3.11, 3.12 or 3.13 with venv is here: install one, or name it: make PYTHON=/path/to/python3.12"
    say "$("$python" --version), packages by pip: this takes a few minutes the first time"
    "$python" -m venv --clear .venv &&
        .venv/bin/python -m pip install $quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
}

install_python() {
    command -v apt-get >/dev/null || return 0
    [ "$(id -u)" = 0 ] || fail "Python's venv is missing: run 'sudo apt-get install python3-venv' (Python 3.11 to 3.13), then this again"
    say "installing python3-venv by apt-get"
    apt-get update -qq >&2 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv >&2
}

# Feast loads our online store by its name, whatever folder its commands are started in.
link_online_store() {
    packages=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') &&
        ln -sfn ../../../../online_store "$packages/online_store"
}

# The platforms' commands find the project's own servers, also without `make env`.
link_platform_commands() {
    packages=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') &&
        ln -sfn ../../../../local/platform_commands.py "$packages/asof_platform_commands.py" &&
        echo 'import asof_platform_commands; asof_platform_commands.prepare()' >"$packages/asof.pth"
}

install_with_uv || install_with_pip
link_online_store
link_platform_commands
