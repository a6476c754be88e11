# One image for the service, the jobs, the board and the command lines: docs/decisions/0008-containers.md
#
#   docker build --tag canario:0.1.0 .
#   docker build --target traffic --tag canario-traffic:0.1.0 .     the sample traffic, beside what trains models

# Every FROM has this one base; it is an argument so that another registry or a newer patch release can be tried.
ARG PYTHON=docker.io/library/python:3.13.15-slim-trixie@sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b

FROM ${PYTHON} AS base
# Images are read-only where they run: bytecode is made here or never. ONNX Runtime would report to its makers.
ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    ORT_DISABLE_TELEMETRY=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore
RUN groupadd --gid 10001 canario \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin canario
WORKDIR /app


# What the processes import, with what makes spans where OTEL_* asks for them, and no pip beside it. Wheels only:
# nothing is compiled, no package's setup code runs.
FROM base AS runtime
COPY locks/otel.txt /tmp/
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m venv --without-pip /venv \
 && python -m pip --python /venv/bin/python install --require-hashes --only-binary :all: --compile \
        -r /tmp/otel.txt \
 && find /venv -type d -name tests -prune -exec rm -r {} +
COPY board/ board/
COPY common/ common/
COPY flags/ flags/
COPY monitoring/ monitoring/
COPY launcher/ launcher/
COPY rollback/ rollback/
COPY rollouts/ rollouts/
COPY service/ service/
COPY stack/__init__.py stack/paths.py stack/
COPY canario .
COPY docs/*.md docs/
# Never compared with the sources: neither changes any more.
RUN /venv/bin/python -m compileall -q --invalidation-mode unchecked-hash .


# The example models: trained, exported, compared with scikit-learn. Nothing but the two folders leaves here.
FROM base AS training
COPY locks/train.txt /tmp/
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m venv --without-pip /venv \
 && python -m pip --python /venv/bin/python install --require-hashes --only-binary :all: --compile \
        -r /tmp/train.txt
ENV PATH=/venv/bin:$PATH
COPY common/ common/
COPY service/ service/
RUN python -m service.train --out /models


# Sample traffic takes its rows from scikit-learn's data, which the final image does without.
FROM training AS traffic
COPY stack/__init__.py stack/traffic.py stack/
USER 10001:10001
CMD ["python", "-m", "stack.traffic"]


FROM base AS canario
# Folders for volumes, which take over their owner and mode:
# the service's last known flags; champion and challenger; all tokens (provision only) and those that each process
# may read; and the prediction log, which the group may read: a log shipper's.
RUN install -d -o canario -g canario -m 0700 \
        /var/lib/canario /var/lib/canario-models \
        /tokens/all /tokens/service /tokens/rollback /tokens/rollout /tokens/board \
 && install -d -o canario -g canario -m 0750 /var/log/canario
# The base's own pip: nothing installs anything here.
RUN python -c "import ensurepip, pip, shutil; [shutil.rmtree(each.__path__[0]) for each in (ensurepip, pip)]" \
 && rm -f /usr/bin/pip* /usr/local/bin/pip*
COPY --from=training /models /models
COPY --from=runtime /venv /venv
COPY --from=runtime /app /app
ENV PATH=/venv/bin:/app:$PATH \
    CANARIO_CHAMPION=/models/champion \
    CANARIO_CHALLENGER=/models/challenger \
    CANARIO_STATE_DIR=/var/lib/canario \
    CANARIO_LOG_DIR=/var/log/canario \
    CANARIO_BIND=0.0.0.0:8000
USER 10001:10001
EXPOSE 8000
# For the service; docker-compose.yml gives the other processes of this image their own.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-Ic", "import http.client as h; c = h.HTTPConnection('127.0.0.1', 8000, timeout=2); c.request('GET', '/readyz'); exit(c.getresponse().status != 200)"]
CMD ["python", "-m", "service"]
