# The service in a container: small, without root, for every platform that the base image has and
# whose packages come as wheels (amd64, arm64; 32-bit ARM needs a compiler in the first stage).
#   docker build -t ghostmesh-mqtt-api .
# docs/installation.md has the rest; docker-compose.yml brings a broker along.
ARG PYTHON_IMAGE=python:3.11.13-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
WORKDIR /source
# What pip would keep for a second time, the image need not carry.
ENV PIP_NO_CACHE_DIR=1
# The packages change seldom: this step is kept while the source changes.
COPY requirements.lock ./
COPY systemd/environment.sh systemd/
RUN sh systemd/environment.sh /opt/mqtt-api packages
COPY . .
# What only building needs does not go on from here.
RUN sh systemd/environment.sh /opt/mqtt-api program \
    && /opt/mqtt-api/bin/pip uninstall --quiet --yes setuptools pip

FROM ${PYTHON_IMAGE}
COPY --from=build /opt/mqtt-api /opt/mqtt-api
ENV PATH=/opt/mqtt-api/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HISTORY_DB=/data/history.db
# A number, so that a cluster which forbids root can see that it is none.
RUN install -d -o 10001 -g 10001 -m 0750 /data
USER 10001:10001
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s --retries=3 \
    CMD ["mqtt-api-server", "probe"]
ENTRYPOINT ["mqtt-api-server"]
