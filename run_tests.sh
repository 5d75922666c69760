#!/usr/bin/env bash
# Run the tests: ./run_tests.sh [pytest's arguments]
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@" # started as `sh run_tests.sh`
set -euo pipefail
source "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/setup_env.sh"

find_python
set_up_environment notebooks test
cd "$root"
exec "$python" -P -m pytest "$@"
