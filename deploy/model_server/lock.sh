#!/bin/sh
# Pins the model server's packages by hash. Needs uv: UV=path/to/uv ./lock.sh
set -eu
cd "$(dirname "$0")"
compile() {
    "${UV:-uv}" pip compile --quiet --no-header --generate-hashes --python-version 3.11 \
        --python-platform x86_64-manylinux_2_35 "$@"
}
{
    echo "# Made by lock.sh from requirements.in; install with: uv pip sync --require-hashes"
    grep '^nvidia-pytriton' requirements.in | compile --no-deps -
    grep -v '^nvidia-pytriton' requirements.in | compile -
} > requirements.txt
{
    echo "# Made by lock.sh from requirements-mlserver.in; install with: uv pip sync --require-hashes"
    compile requirements-mlserver.in
} > requirements-mlserver.txt
