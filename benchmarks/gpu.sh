#!/usr/bin/env bash
# Everything that wants a CUDA device, in one go: build, GPU tests, kernel benchmark, a short training run.
#
#     benchmarks/gpu.sh [FOLDER]      results go to FOLDER (default: benchmarks/results/gpu)
set -euo pipefail
cd "$(dirname "$0")/.."
out="${1:-benchmarks/results/gpu}"
python="${PYTHON:-python3}"
mkdir -p "$out"
command -v nvidia-smi >/dev/null || { echo "no nvidia-smi: this script needs a CUDA device" >&2; exit 1; }
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader | tee "$out/device.txt"
date -u +%F | tee -a "$out/device.txt"

POWQMIX_CUDA=ON "$python" setup.py -q build_ext --inplace
"$python" -m pytest -m gpu -q | tee "$out/tests.txt"
"$python" benchmarks/kernels.py --device cuda --json "$out/kernels.json"
"$python" -m powqmix.cli.main launch --env predator_prey --preset demo --gpu 0 --steps 20000 --json \
  --run-dir "$(mktemp -d)/run" > "$out/predator_prey.json"
