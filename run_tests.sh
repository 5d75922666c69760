#!/usr/bin/env bash
# Run the tests: ./run_tests.sh [pytest's arguments]
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@" # started as `sh run_tests.sh`
set -euo pipefail
source "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/setup_env.sh"

find_python
set_up_environment notebooks test
cd "$root"
# Two workers, one core each: trainings in the tests are too small for more. `-n 0` has one, in which a debugger works.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
exec "$python" -P -m pytest -n 2 --dist loadfile --no-loadscope-reorder "$@"
