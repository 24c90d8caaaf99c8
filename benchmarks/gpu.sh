#!/usr/bin/env bash
# Everything that wants a CUDA device, in one command and under eleven minutes: build, the tests of the ops, of the update
# in graphs and of replay on the device, compute-sanitizer on every kernel, the benchmarks of the kernels, of the GRU and
# of a learner's update, kernel by kernel, as a graph, and from a ring of episodes.
#
#     benchmarks/gpu.sh [FOLDER]      results go to FOLDER (default: benchmarks/results/gpu)
#
# Needs nvcc and a C++ compiler, and of Python packages torch with CUDA, numpy, pybind11, pytest, cmake and ninja only.
# A step that fails is named at the end, the others run all the same; exit status 1 if any did.
set -uo pipefail
cd "$(dirname "$0")/.."
out="${1:-benchmarks/results/gpu}"
python="${PYTHON:-python3}"
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
failed=()

stop() { echo "gpu.sh: $*" >&2; exit 1; }

# step NAME SECONDS COMMAND...: what it prints goes to FOLDER/NAME.txt too
step() {
  local name="$1" limit="$2" begin=$SECONDS
  shift 2
  echo "== $name"
  if timeout "$limit" "$@" 2>&1 | tee "$out/$name.txt"; then
    echo "== $name done in $((SECONDS - begin)) s"
  else
    echo "== $name FAILED after $((SECONDS - begin)) s (limit $limit s)" >&2
    failed+=("$name")
  fi
}

"$python" - <<'PY' || stop "packages are missing; pip install them"
import importlib.util, shutil, sys
from pathlib import Path
tools = [t for t in ("cmake", "ninja") if not (shutil.which(t) or shutil.which(t, path=str(Path(sys.executable).parent)))]
missing = [m for m in ("torch", "numpy", "pybind11", "pytest") if importlib.util.find_spec(m) is None] + tools
sys.exit(f"missing: {', '.join(missing)}" if missing else 0)
PY
command -v nvcc >/dev/null || stop "no nvcc on the PATH; install the CUDA toolkit, or add its bin folder to PATH"
"$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' ||
  stop "no CUDA device that torch can use (torch $("$python" -c 'import torch; print(torch.__version__)')): nothing was measured"

mkdir -p "$out"
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader | tee "$out/device.txt"
date -u +%F | tee -a "$out/device.txt"
capability="$("$python" -c 'import torch; print("%d%d" % torch.cuda.get_device_capability())')"

step build 150 env POWQMIX_CUDA=ON POWQMIX_CUDA_ARCHITECTURES="$capability" "$python" setup.py -q build_ext --inplace
"$python" -c 'from powqmix import _C; assert _C.with_cuda' || stop "the build failed: see $out/build.txt"

# Configurations are read with yaml; none is read here.
"$python" -c 'import yaml' 2>/dev/null || {
  stand_ins="$(mktemp -d)"
  touch "$stand_ins/yaml.py"
  export PYTHONPATH="$PYTHONPATH:$stand_ins"
}

step tests 90 "$python" -m pytest -q -m gpu -p no:cacheprovider tests/ops/test_ops.py tests/ops/test_gru_fused.py \
  tests/ops/test_gru_choice.py
step learner_tests 70 "$python" -m pytest -q -m gpu -p no:cacheprovider \
  tests/learner/test_update_gpu.py tests/learner/test_device_replay.py
if command -v compute-sanitizer >/dev/null; then
  for tool in memcheck racecheck; do
    step "$tool" 45 compute-sanitizer --tool "$tool" --error-exitcode 9 "$python" -m tests.ops.every_kernel
  done
else
  echo "== compute-sanitizer is not on the PATH: memcheck and racecheck were NOT run" | tee "$out/memcheck.txt"
fi
step kernels 100 "$python" benchmarks/kernels.py --device cuda --seconds 0.3 --json "$out/kernels.json"
step gru 30 "$python" benchmarks/gru.py --device cuda --repeats 20 --json "$out/gru.json"
step update 50 "$python" benchmarks/update.py --device cuda --seconds 2 --json "$out/update.json"
step replay 50 "$python" benchmarks/update.py --replay --device cuda --seconds 2 \
  --sizes-of predator_prey skirmish/3s5z_vs_3s6z --json "$out/replay.json"

((${#failed[@]} == 0)) || stop "failed: ${failed[*]}; see $out"
echo "all done in $SECONDS s: $out"
