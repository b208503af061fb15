#!/usr/bin/env bash
# Packs what a machine with a GPU, but without internet or Node, needs for gpu-check.sh: the built libraries, this Node,
# the TypeScript layer, its packages and the oracle. Build first with PTMZ_CUDA=ON.
#
#   scripts/gpu-bundle.sh [OUT.tar.gz] [ORACLE]
set -euo pipefail
cd "$(dirname "$0")/.."
out=$(realpath -m "${1:-gpu-bundle.tar.gz}")
oracle=${2:-test/oracle/fixtures}
most=$((60 * 1024 * 1024))

for file in build/Release/ptmz_native.node build/Release/libptmz_cuda.so dist/index.js "$oracle/manifest.json"; do
  if [[ ! -f $file ]]; then
    echo "gpu-bundle: no $file; run PTMZ_CUDA=ON npm run build:native, npm run build:ts, and name the oracle" >&2
    exit 1
  fi
done

bundle=$(mktemp -d)
trap 'rm -rf "$bundle"' EXIT
to=$bundle/ptmz-gpu
mkdir -p "$to/build/Release" "$to/bin" "$to/lib/data" "$to/node_modules" "$to/scripts" "$to/bench"
cp -r dist package.json "$to/"
cp -r lib/data/assets "$to/lib/data/"  # the digits that trainings see
cp -r scripts/gpu scripts/gpu-check.sh "$to/scripts/"
cp -r bench/*.mjs bench/peers "$to/bench/"  # for races against PyTorch, where that is there
cp build/Release/ptmz_native.node build/Release/libptmz_cuda.so "$to/build/Release/"
cp -r "$oracle" "$to/oracle"
for package in cli-progress commander node-gyp-build string-width strip-ansi ansi-regex emoji-regex is-fullwidth-code-point; do
  if [[ -d node_modules/$package ]]; then cp -r "node_modules/$package" "$to/node_modules/"; fi
done
cp "$(command -v node)" "$to/bin/node"
strip "$to/bin/node" "$to/build/Release/"*.node "$to/build/Release/"*.so

tar -C "$bundle" -c ptmz-gpu | gzip -9 >"$out"
bytes=$(stat -c %s "$out")
echo "gpu-bundle: $out, $((bytes / 1024 / 1024)) MiB"
if ((bytes > most)); then
  echo "gpu-bundle: more than $((most / 1024 / 1024)) MiB" >&2
  exit 1
fi
