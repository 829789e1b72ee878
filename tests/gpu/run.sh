#!/usr/bin/env bash
# What needs a GPU: the tests of operations, layers and losses on "cuda", then the figures of
# docs/benchmarks.md. The card's settings are not touched.
#   tests/gpu/run.sh [BUILD_FOLDER]     build/gpu unless told
# Exit status: 0 all passed; 77 no GPU or no nvcc here; else what failed.
set -euo pipefail
cd "$(dirname "$0")/../.."
build="${1:-build/gpu}"
jobs="$(nproc)"
tests=(test_compute test_compute_layers test_loss test_layers test_layers_window test_layers_tokens test_private_step
  test_train test_train_refused test_dp_sgd test_cuda_load test_cuda_plugin)

if ! command -v nvidia-smi >/dev/null || ! nvidia-smi -L | grep -q '^GPU 0'; then
  echo "SKIPPED: no GPU on this machine"
  exit 77
fi
nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm --format=csv,noheader

if [[ -z "${CUDACXX:-}" ]] && ! command -v nvcc >/dev/null && [[ ! -x /usr/local/cuda/bin/nvcc ]]; then
  echo "SKIPPED: no nvcc on this machine; CUDACXX=PATH names one"
  exit 77
fi

# gRPC and oneDNN have no part in this: fewer packages to install on a borrowed machine. With a compiler there, a
# configuration that fails is a fault and no reason to skip.
cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCSL_TESTS=ON -DCSL_GRPC=OFF \
  -DCSL_CUDA=ON
cmake --build "$build" -j "$jobs" --target consilium_cuda csl_gpu_roof bench_layers bench_kernels "${tests[@]}"

pattern="^($(IFS='|'; echo "${tests[*]}"))\$"
ctest --test-dir "$build" --output-on-failure --no-tests=error -R "$pattern"

# Not found here would mean that the tests above ran without it.
read -r copy sgemm <<<"$("$build/tests/csl_gpu_roof")"
echo "copy $copy GB/s (read and written), sgemm $sgemm GFLOP/s"
"$build/tests/bench_kernels" cuda "$copy" "$sgemm"
"$build/tests/bench_layers" cuda
