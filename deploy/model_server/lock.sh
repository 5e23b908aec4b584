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
# The extras share one environment with Triton: all of them are solved together, then each is cut out of the solution.
EXTRAS="ocr speech audio-events"
all=$(mktemp)
trap 'rm -f "$all"' EXIT
for extra in $EXTRAS; do cat "requirements-$extra.in"; done | cat - requirements.in | grep -v '^nvidia-pytriton' |
    "${UV:-uv}" pip compile --quiet --no-header --no-annotate --python-version 3.11 \
        --python-platform x86_64-manylinux_2_35 - > "$all"
for extra in $EXTRAS; do
    {
        echo "# Made by lock.sh from requirements-$extra.in; install with: uv pip sync --require-hashes"
        compile --constraint "$all" "requirements-$extra.in"
    } > "requirements-$extra.txt"
done
