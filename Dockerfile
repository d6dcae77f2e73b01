# The same image for head, workers and a single machine: `docker run IMAGE sweep run --out /results/first`.
# GPUs: --build-arg RAY_IMAGE=rayproject/ray:2.60.0-py311-gpu
ARG RAY_IMAGE=rayproject/ray:2.60.0-py311
FROM ${RAY_IMAGE}

# The Ray images run as the unprivileged user `ray` (1000) already; the results folder must be theirs.
USER root
RUN mkdir /results && chown ray:users /results
USER ray

WORKDIR /home/ray/trainability-sweep
COPY --chown=ray:users pyproject.toml README.md LICENSE ./
COPY --chown=ray:users probes probes
COPY --chown=ray:users sweep sweep
RUN pip install --no-cache-dir .

WORKDIR /results
CMD ["sweep", "--help"]
