#!/usr/bin/env bash
# Builds llama.cpp with CUDA in a virtual environment of its own, runs the tests marked `gpu` there, then the benchmarks on
# the CPU and with -ngl -1, and leaves both as pages and as JSON.
#
#     scripts/gpu_check.sh [FOLDER]       FOLDER: for the environment and the results; gpu-check by default
#
# CMAKE_ARGS=-DGGML_VULKAN=on (or another) builds for another kind of GPU. REPEAT, NAMES: rounds, and which benchmarks.
set -euo pipefail

cd "$(dirname "$0")/.."
folder=${1:-gpu-check}
export CMAKE_ARGS=${CMAKE_ARGS:--DGGML_CUDA=on}
repeat=${REPEAT:-5}
read -r -a names <<<"${NAMES:-throughput reduction divergence overheads lengths whole shapes}"

mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
python=$folder/venv/bin/python
if [ ! -x "$python" ]; then
    "${PYTHON:-python3}" -m venv "$folder/venv"
fi
# A wheel that pip built before, for the CPU, must not be taken from its cache.
"$python" -m pip install -q --no-cache-dir --no-binary llama-cpp-python "llama-cpp-python>=0.3.36,<0.4"
"$python" -m pip install -q -e . --group dev

supports='from sway_gguf.engine.llama import supports_gpu; raise SystemExit(not supports_gpu())'
if ! "$python" -c "$supports"; then
    echo "gpu_check: this build of llama.cpp finds no GPU; CMAKE_ARGS was $CMAKE_ARGS" >&2
    exit 1
fi

"$python" -m pytest -m gpu -n 0
for layers in 0 -1; do
    side=$([ "$layers" = 0 ] && echo cpu || echo gpu)
    "$python" -m benchmarks "${names[@]}" --repeat "$repeat" "--gpu-layers=$layers" \
        --json "$folder/$side.json" --markdown "$folder/$side.md"
done
echo "gpu_check: $folder/cpu.md and $folder/gpu.md hold both sides"
