#!/usr/bin/env bash
# Run the tests: ./run_tests.sh [pytest's arguments]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup_env.sh"

find_python
set_up_environment notebooks test
cd "$root"
exec "$python" -m pytest "$@"
