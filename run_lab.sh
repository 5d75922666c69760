#!/usr/bin/env bash
# Open the notebooks in JupyterLab: ./run_lab.sh [notebook] [JupyterLab's options]
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@" # started as `sh run_lab.sh`
set -euo pipefail
source "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/setup_env.sh"

find_python
set_up_environment notebooks
exec "$python" -P -m pivq.commands.lab "$@"
