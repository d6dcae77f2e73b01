# The same image for head, workers and a single machine: `docker run IMAGE sweep run --out /results/first`.
# GPUs: --build-arg RAY_IMAGE=rayproject/ray:2.60.0-py311-gpu
ARG RAY_IMAGE=rayproject/ray:2.60.0-py311
FROM ${RAY_IMAGE}

# The Ray images run as the unprivileged user ray, 1000:100, already; the results folder must be theirs.
USER 0
RUN mkdir /results && chown 1000:100 /results
USER 1000

WORKDIR /home/ray/trainability-sweep
COPY --chown=1000:100 pyproject.toml README.md LICENSE ./
COPY --chown=1000:100 probes probes
COPY --chown=1000:100 sweep sweep
RUN pip install --no-cache-dir .

WORKDIR /results
CMD ["sweep", "--help"]
