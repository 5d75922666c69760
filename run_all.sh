#!/usr/bin/env bash
# Regenerate every figure and table of the paper: ./run_all.sh --help
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup_env.sh"

find_python
# A mistyped argument is answered before anything is installed.
for argument in "$@"; do
  case $argument in -h | --help) exec "$python" -m pivq.commands.run_all --help ;; esac
done
"$python" -m pivq.commands.run_all --check-only "$@"
set_up_environment notebooks
exec "$python" -m pivq.commands.run_all "$@"
