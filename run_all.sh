#!/usr/bin/env bash
# Regenerate every figure and table of the paper: ./run_all.sh --help
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@" # started as `sh run_all.sh`
set -euo pipefail
source "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/setup_env.sh"

find_python
# A mistyped argument is answered before anything is installed.
for argument in "$@"; do
  case $argument in
    -h | --help) exec "$python" -P -m pivq.commands.run_all --help ;;
    --list | --version | --check-only) exec "$python" -P -m pivq.commands.run_all "$@" ;;
    --dry-run) # tells more where the packages are there
      has_requirements notebooks || ! is_installed || python="$venv/bin/python"
      exec "$python" -P -m pivq.commands.run_all "$@"
      ;;
  esac
done
"$python" -P -m pivq.commands.run_all --check-only "$@" >/dev/null
set_up_environment notebooks
exec "$python" -P -m pivq.commands.run_all "$@"
