#!/usr/bin/env bash
# One run on a machine with a GPU: reports the device, holds programs and trainings on it against the CPU and the oracle,
# checks that recordings, chunks, stops and repetitions give the same bits, races PyTorch on the same card where Python
# has it, runs the sanitizer where it is installed, and writes bench/results/gpu-*.json; in nine minutes.
#
#   scripts/gpu-check.sh [--oracle DIR] [--out FILE] [--minutes N] [--quick]
#   scripts/gpu-check.sh --races ...         only the races, as long as they take: scripts/gpu/races.mjs
#   scripts/gpu-check.sh --convolutions ...  every way of computing them: scripts/gpu/convolutions.mjs
set -euo pipefail
cd "$(dirname "$0")/.."
node=node
if [[ -x bin/node ]]; then node=$PWD/bin/node; fi
case "${1-}" in
  --races | --convolutions) exec "$node" "scripts/gpu/${1#--}.mjs" "${@:2}" ;;
esac
oracle=()
if [[ -f oracle/manifest.json ]]; then oracle=(--oracle oracle); fi
exec "$node" scripts/gpu/check.mjs "${oracle[@]}" "$@"
