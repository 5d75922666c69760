#!/usr/bin/env bash
# Regenerate every figure and table of the paper: ./run_all.sh --help
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup_env.sh"

find_python
# A mistyped argument is answered before anything is installed.
for argument in "$@"; do
  case $argument in -h | --help) exec "$python" -m pivq.runner --help ;; esac
done
"$python" -m pivq.runner --check-only "$@"
set_up_environment
exec "$python" -m pivq.runner "$@"
