#!/usr/bin/env bash
# One run on a machine with a GPU: reports the device, holds programs and trainings on it against the CPU and the oracle,
# checks that recordings, chunks, stops and repetitions give the same bits, times what there is, and writes
# bench/results/gpu-*.json.
#
#   scripts/gpu-check.sh [--oracle DIR] [--out FILE] [--quick]
set -euo pipefail
cd "$(dirname "$0")/.."
node=node
if [[ -x bin/node ]]; then node=$PWD/bin/node; fi
oracle=()
if [[ -f oracle/manifest.json ]]; then oracle=(--oracle oracle); fi
exec timeout 540 "$node" scripts/gpu/check.mjs "${oracle[@]}" "$@"
