# One image for head, workers, driver and a single machine: `docker build -t trainability-sweep .`, then
# `docker run -v results:/results trainability-sweep sweep run --out /results/first`.
# GPUs: --build-arg RAY_IMAGE=rayproject/ray:2.60.0-py311-gpu. To pin the base for good, give it with its digest: NAME@sha256:...
# An index of smaller (CPU) builds of torch: --build-arg PIP_EXTRA_INDEX_URL=..., one that needs no password.
ARG RAY_IMAGE=rayproject/ray:2.60.0-py311

FROM ${RAY_IMAGE} AS build
WORKDIR /home/ray/source
COPY --chown=1000:100 pyproject.toml README.md LICENSE ./
RUN mkdir /home/ray/pinned && python -c \
    "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" \
    > /home/ray/pinned/requirements.txt
COPY --chown=1000:100 cluster/docker/constraints.txt /home/ray/pinned/
COPY --chown=1000:100 probes probes
COPY --chown=1000:100 sweep sweep
COPY --chown=1000:100 cluster cluster
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /home/ray/wheels .

FROM ${RAY_IMAGE}
USER 0
# Volumes begin with the owner that these folders have here.
RUN apt-get update \
    && apt-get install -y --no-install-recommends tini=0.19.0* \
    && rm -rf /var/lib/apt/lists/* \
    && install -d -m 700 -o 1000 -g 100 /results /token
USER 1000:100
ARG PIP_EXTRA_INDEX_URL
# The dependencies are some GB, and have a layer of their own: after an edit of the code, only the last layers are pushed.
COPY --from=build /home/ray/pinned /home/ray/pinned
RUN pip install --no-cache-dir -r /home/ray/pinned/requirements.txt -c /home/ray/pinned/constraints.txt
COPY --from=build /home/ray/wheels /home/ray/wheels
RUN pip install --no-cache-dir --no-deps /home/ray/wheels/*.whl
WORKDIR /results
# A container is well while a Ray node or a sweep runs in it.
HEALTHCHECK --interval=15s --timeout=10s --start-period=60s --retries=4 \
    CMD ["python", "-c", "import glob, sys; sys.exit(not {'raylet', 'sweep'} & {open(p).read().strip() for p in glob.glob('/proc/[0-9]*/comm')})"]
ENTRYPOINT ["/usr/bin/tini", "--"]
CMD ["sweep", "--help"]
