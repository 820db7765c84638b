# A machine with NVIDIA's container toolkit runs it: docs/gpu.md. Not built by the tests.
FROM python:3.12-slim

# The index that pytorch.org names for a CUDA version; empty: the build of torch that pip finds by itself.
ARG TORCH_INDEX=""

# git: a result names the commit that it comes from. g++: for `compile: true` and `kernel: triton`.
RUN apt-get update \
 && apt-get install -y --no-install-recommends g++ git \
 && rm -rf /var/lib/apt/lists/*

WORKDIR /amad-bench
COPY requirements.lock ./
RUN if [ -n "$TORCH_INDEX" ]; then \
      pip install --no-cache-dir --index-url "$TORCH_INDEX" "$(grep '^torch==' requirements.lock)"; \
    fi \
 && pip install --no-cache-dir -r requirements.lock
COPY . .
RUN pip install --no-cache-dir --no-build-isolation -c requirements.lock -e ".[pipeline]"

# What the container toolkit brings from the host: the driver's libraries, and nvidia-smi.
ENV NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    OMP_NUM_THREADS=1 \
    TOKENIZERS_PARALLELISM=false \
    PYTHONUTF8=1

WORKDIR /results
ENTRYPOINT ["snakemake", "-s", "/amad-bench/Snakefile"]
CMD ["--cores", "all"]
