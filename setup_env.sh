# The one set-up, sourced by run_all.sh and run_tests.sh: it leaves the interpreter to use in $python. An active
# environment that has what is needed is used as it is; otherwise .venv is made, in this folder and nowhere else.
# Every interpreter is started with -P: no file of the current folder is taken for a module.
# shellcheck shell=bash

fail() {
  printf '%s\n' "${0##*/}: error: $1" "${@:2}" >&2
  exit 1
}

pwd -P >/dev/null 2>&1 || fail "the current folder is gone, it was deleted or moved: go to another one (cd ~) and run this again."
root="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" >/dev/null && pwd)"
venv="$root/.venv"
log="$venv/install.log"
stamp="$venv/installed" # written last, so that an interrupted installation is resumed
# An empty part of PYTHONPATH would be the current folder.
PYTHONPATH="$(tr -s : <<<"$root:${PYTHONPATH:-}")"
export PYTHONPATH="${PYTHONPATH%:}"

# Set $python to the first interpreter that is new enough; `python` is that of the active environment.
find_python() {
  local name
  for name in python python3 python3.11 python3.12 python3.13 python3.14; do
    python="$(command -v "$name")" || continue
    "$python" -P -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && return
  done
  fail "Python 3.11 or newer is needed. Found: $(python3 --version 2>/dev/null || echo none)."
}

# True if $python has what pyproject.toml asks for, with the extras named. For .venv only the stamp says that.
has_requirements() {
  "$python" -P - "$root" "$@" 2>/dev/null <<'PYTHON'
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

from packaging.requirements import Requirement

root, extras = Path(sys.argv[1]), sys.argv[2:]
project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
needed = project["dependencies"] + [line for extra in extras for line in project["optional-dependencies"][extra]]
fits = (need.specifier.contains(version(need.name), prereleases=True) for need in map(Requirement, needed))
sys.exit(Path(sys.prefix).resolve() == root / ".venv" or not all(fits))
PYTHON
}

# Set $python to an interpreter with the requirements, and install them into .venv if there is none.
set_up_environment() {
  has_requirements "$@" && return
  if ! is_installed; then
    # An installation that lost its terminal may still run: it, and its pip, hold the lock until they end.
    exec 9<"$root/requirements.lock"
    if command -v flock >/dev/null && ! flock -n 9; then
      echo "Waiting for another installation into $venv …"
      flock 9
    fi
    is_installed || install_requirements
    exec 9<&-
  fi
  python="$venv/bin/python"
}

wanted_stamp() { echo "$root $(cksum <"$root/requirements.lock")"; }

is_installed() {
  [ "$(cat "$stamp" 2>/dev/null)" = "$(wanted_stamp)" ] && "$venv/bin/python" -P -c '' 2>/dev/null
}

install_requirements() {
  # A log without a stamp is of an interrupted installation: packages may be there in part, which pip takes for whole.
  # They come again from pip's cache. A .venv that somebody made has no log, and keeps what is in it.
  if { [ -e "$log" ] && [ ! -e "$stamp" ]; } || ! "$venv/bin/python" -P -m pip --version >/dev/null 2>&1; then
    rm -rf "${venv:?}/bin" # first, so that an interrupted clearing is completed by the next start
    "$python" -P -m venv --clear "$venv" ||
      fail "could not make $venv with $python: is it read-only, the disk full, or (Debian, Ubuntu) python3-venv missing?"
  fi
  echo "Installing into .venv: up to 6 GB, several minutes (log: $log) …"
  : >"$log"
  rm -f "$stamp"
  pip_install -r "$root/requirements.lock"
  pip_install --no-deps --no-build-isolation -e "$root"
  wanted_stamp >"$stamp"
  echo "Installed in $SECONDS s."
}

pip_install() {
  env -u PYTHONPATH "$venv/bin/python" -P -m pip install --progress-bar off --no-input "$@" >>"$log" 2>&1 && return
  if grep -qi 'no space left' "$log"; then
    fail "no space left while installing: about 6 GB are needed at $venv, and some in the temporary folder."
  fi
  fail "pip install $* failed; is there a network connection?" "$(grep '^ERROR' "$log" | tail -n 3)" \
    "The whole log is $log. Run the same command again to resume."
}
