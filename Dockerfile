# Two images come from this file. By default: Debian, slim, with a shell.
# Without a shell, on python3-debian13:nonroot of the distroless project:
#   --build-arg RUNTIME_IMAGE=<its address> --build-arg RUNTIME_PYTHON=/usr/bin/python3
# Both base images need the same minor version of Python.
ARG BUILD_IMAGE=python:3.13-slim-trixie
ARG RUNTIME_IMAGE=python:3.13-slim-trixie

FROM ${BUILD_IMAGE} AS dependencies
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
ENV APP=/opt/remote-job-exporter
WORKDIR /src
# A layer of what is installed beside the exporter: releases and both images share it until a pin in this file changes.
COPY requirements/runtime.txt requirements/
# Bytecode that asks for no time stamp: the same from every build, and good on a read-only root.
RUN python3 -m venv --without-pip "$APP" \
    && python3 -m pip --python "$APP/bin/python3" install --require-hashes --only-binary=:all: --no-compile \
        -r requirements/runtime.txt \
    && rm -rf "$APP"/lib/python3*/site-packages/tests \
    && "$APP/bin/python3" -m compileall -q --invalidation-mode unchecked-hash "$APP/lib"

FROM dependencies AS build
COPY requirements/build.txt requirements/
RUN python3 -m venv --without-pip /build \
    && python3 -m pip --python /build/bin/python3 install --require-hashes --only-binary=:all: --no-compile \
        -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY exporter exporter
RUN python3 -m pip --python /build/bin/python3 wheel --no-deps --no-build-isolation --wheel-dir /build . \
    && python3 -m pip --python "$APP/bin/python3" install --no-deps --no-compile --prefix /app /build/*.whl \
    && "$APP/bin/python3" -m compileall -q --invalidation-mode unchecked-hash -s /app -p "$APP" /app/lib
# The environment is for the interpreter of the image that runs, wherever that lies.
ARG RUNTIME_PYTHON=/usr/local/bin/python3
RUN ln -s "$RUNTIME_PYTHON" /app/bin/python3 \
    && printf 'home = %s\ninclude-system-site-packages = false\n' "${RUNTIME_PYTHON%/*}" > /app/pyvenv.cfg

FROM ${RUNTIME_IMAGE}
# Without the commands of the dependencies.
COPY --from=dependencies /opt/remote-job-exporter/lib /opt/remote-job-exporter/lib
COPY --from=build /app /opt/remote-job-exporter
# The config is a folder, so that a file or a ConfigMap can be mounted; HTTP answers at port 10072.
ENV PATH=/opt/remote-job-exporter/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    REMOTE_JOB_EXPORTER_CONFIG_FILE=/etc/remote-job-exporter
USER 65532:65532
EXPOSE 10072
# Any response or a closed connection means alive: the port can speak TLS and require a certificate.
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s \
    CMD ["python3", "-ISc", "import socket; s = socket.create_connection(('127.0.0.1', 10072), 4); s.sendall(b'GET /-/healthy HTTP/1.0\\r\\n\\r\\n'); s.recv(1)"]
ENTRYPOINT ["remote-job-exporter"]
CMD ["serve"]
ARG RUNTIME_IMAGE
ARG VERSION=0.1.0
ARG REVISION=
ARG CREATED=1970-01-01T00:00:00Z
ENV REMOTE_JOB_EXPORTER_REVISION=$REVISION
LABEL org.opencontainers.image.title="remote-job-exporter" \
      org.opencontainers.image.description="Prometheus exporter for publishing and build jobs that run elsewhere" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.created="$CREATED" \
      org.opencontainers.image.base.name="$RUNTIME_IMAGE" \
      org.opencontainers.image.source="https://github.com/remote-job-exporter/remote-job-exporter" \
      org.opencontainers.image.url="https://github.com/remote-job-exporter/remote-job-exporter" \
      org.opencontainers.image.documentation="https://github.com/remote-job-exporter/remote-job-exporter/blob/main/README.md" \
      org.opencontainers.image.vendor="The remote-job-exporter authors" \
      org.opencontainers.image.licenses="Apache-2.0"
