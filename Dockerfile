# The project with everything pinned, for nodes of a Ray cluster: they install nothing at start.
#
#     docker build --tag YOUR/autoshrink-ray:0.1.0-ray2.60.0-cuda .
#     docker build --build-arg TORCH_INDEX=URL --tag YOUR/autoshrink-ray:0.1.0-ray2.60.0-cpu .
#
# Ray's release belongs into the tag: `autoshrink-ray cluster check` compares it.
FROM python:3.11.14-slim-bookworm

# Package index for PyTorch, as its installation page names one for CPUs. Empty: the usual one,
# whose wheels for Linux bring CUDA.
ARG TORCH_INDEX=""

# Ray's autoscaler logs in and copies files by these; KubeRay's probes use wget.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends openssh-client rsync wget procps \
    && rm -rf /var/lib/apt/lists/*

# No root: Ray needs none, neither on Kubernetes nor in the container of `ray up`.
RUN useradd --create-home --uid 1000 ray
WORKDIR /home/ray/autoshrink_ray

# Slow and seldom changed first: the layer of PyTorch stays when only our code changes.
COPY constraints.txt ./
RUN if [ -n "$TORCH_INDEX" ]; then \
        pip install --no-cache-dir --disable-pip-version-check --index-url "$TORCH_INDEX" \
            --constraint constraints.txt torch torchvision; \
    fi

COPY pyproject.toml README.md LICENSE ./
COPY autoshrink_ray autoshrink_ray
COPY search_spaces search_spaces
COPY trainables trainables
COPY launch launch
RUN pip install --no-cache-dir --disable-pip-version-check --constraint constraints.txt ".[aws]"

USER ray
ENV HOME=/home/ray
# The token is never part of an image: it comes as a file or a secret.
ENV RAY_AUTH_MODE=token
WORKDIR /home/ray
CMD ["autoshrink-ray", "--help"]
