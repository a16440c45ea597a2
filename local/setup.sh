#!/bin/sh
# requirements/dev.txt and boosters.txt in, a complete .venv out: by uv where it works, else by plain pip; the same
# packages either way. With a LOCK its packages are added to .venv: sh local/setup.sh requirements/catboost.txt
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
        uv pip sync $quiet --require-hashes --python .venv/bin/python requirements/dev.txt requirements/boosters.txt &&
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
        .venv/bin/python -m pip install $quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt -r requirements/boosters.txt
}

install_python() {
    command -v apt-get >/dev/null || return 0
    [ "$(id -u)" = 0 ] || fail "Python's venv is missing: run 'sudo apt-get install python3-venv' (Python 3.11 to 3.13), then this again"
    install_by_apt python3-venv
}

install_by_apt() {
    say "installing $1 by apt-get"
    apt-get update -qq >&2 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$1" >&2
}

add() {
    if uv --version >/dev/null 2>&1; then
        uv pip install $quiet --no-deps --require-hashes --python .venv/bin/python -r "$1"
    else
        .venv/bin/python -m pip install $quiet --disable-pip-version-check --no-deps --require-hashes -r "$1"
    fi
}

# LightGBM needs the system's OpenMP, which small images lack.
install_openmp() {
    .venv/bin/python -c 'import ctypes; ctypes.CDLL("libgomp.so.1")' 2>/dev/null && return
    command -v apt-get >/dev/null && [ "$(id -u)" = 0 ] && install_by_apt libgomp1 ||
        say "libgomp.so.1 is missing, without which LightGBM does not import: run 'sudo apt-get install libgomp1'"
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

# The first `make up` copies it, instead of waiting for Prefect's migrations; without it, Prefect makes its own.
make_prefect_database() {
    .venv/bin/python -m local.stack.prefect_database ||
        say "Prefect's database could not be prepared: the first \`make up\` takes some seconds more"
}

if [ $# -gt 0 ]; then
    add "$1"
    exit
fi
install_with_uv || install_with_pip
install_openmp
link_online_store
link_platform_commands
make_prefect_database
