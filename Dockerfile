# The images of docker-compose.yml. `node` is for APIs, tickers, network workers, and the Valkey that the lock pins;
# `miner` is `node` and the fast kernel; `edge` is the proxy. `make base-image` moves BASE to the digest that its tag has
# today.
# Needs BuildKit: DOCKER_BUILDKIT=1 where Docker is older than 23.

ARG BASE=python:3.12-slim@sha256:229a2c5bfa27522db7815ea81f9bed70af17ccb9de9fc7ad142b1877b5830d36
# What the proxy is made of: an image with nginx, sed and curl.
ARG EDGE_BASE=nginx:stable
# Without a package index: an image with the wheels of all three locks in its root, for --build-arg WHEELS=.
ARG WHEELS=scratch

FROM ${WHEELS} AS wheels


# The fast kernel in a directory of its own, which only miners get.
FROM ${BASE} AS fast
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
COPY deploy/fast.lock ./
RUN --mount=type=bind,from=wheels,target=/wheels \
    python -m pip install --find-links /wheels --root-user-action=ignore --target /opt/fast \
    --require-hashes --only-binary :all: -r fast.lock


FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build

# Dependencies first, so that this layer is reused when only our own code changes.
COPY requirements.lock deploy/build.lock ./
RUN --mount=type=bind,from=wheels,target=/wheels \
    python -m venv --without-pip tools \
 && python -m pip --python tools/bin/python install --find-links /wheels --no-compile \
    --require-hashes --only-binary :all: -r build.lock \
 && python -m venv --without-pip /opt/quarry \
 && python -m pip --python /opt/quarry/bin/python install --find-links /wheels \
    --require-hashes --only-binary :all: -r requirements.lock

COPY pyproject.toml README.md LICENSE ./
COPY shared shared
COPY services services
COPY worker worker
COPY api api
COPY lab lab
COPY quarrynode quarrynode
# The build tools are pinned too. Build isolation would fetch their newest versions, so it is off.
RUN python -m pip --python tools/bin/python wheel --no-deps --no-build-isolation --no-index --wheel-dir wheels . \
 && python -m pip --python /opt/quarry/bin/python install --no-deps --no-index wheels/*.whl

# COPY keeps the modes of the checkout, which nobody but its owner can read under umask 077. So they are set here.
COPY deploy/in_node.py /opt/quarry/bin/in-node
COPY deploy/health.py /opt/quarry/bin/health
COPY deploy/make_cluster.py /opt/quarry/bin/make-cluster
COPY deploy/valkey.conf deploy/users.acl /etc/quarry/
# Numba compares times of change to the nanosecond, and layers that were pulled have whole seconds.
RUN for file in /opt/quarry/lib/python*/site-packages/worker/kernel/*.py; do \
      touch --date="@$(stat --format=%Y "$file")" "$file"; \
    done \
 && chmod 0755 /opt/quarry/bin/in-node /opt/quarry/bin/health /opt/quarry/bin/make-cluster \
 && chmod -R u=rwX,go=rX /etc/quarry \
 && ln -s "$(/opt/quarry/bin/python -c 'from services.launch.embedded import find_server; print(find_server())')" \
    /opt/quarry/bin/valkey-server


# With the modes that the proxy's user needs: a checkout under umask 077 has files that only its owner can read.
FROM ${EDGE_BASE} AS edge
COPY --chmod=0444 deploy/nginx.conf deploy/edge.sh /etc/quarry/
USER 10001:10001
ENTRYPOINT ["/bin/sh", "/etc/quarry/edge.sh"]


FROM ${BASE} AS node
# A new volume takes its owner from the directory at which it is mounted.
RUN python -m pip uninstall --yes --quiet --root-user-action=ignore pip \
 && groupadd --gid 10001 quarry \
 && useradd --uid 10001 --gid quarry --no-create-home --home-dir /data --shell /usr/sbin/nologin quarry \
 && install --directory --owner quarry --group quarry --mode 0700 /data /cluster
COPY --from=build /opt/quarry /opt/quarry
COPY --from=build /etc/quarry /etc/quarry
ENV PATH=/opt/quarry/bin:$PATH PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /data
ENTRYPOINT ["in-node"]
CMD ["quarry", "--help"]


# The kernel compiled for this machine's processor. A miner on another one compiles its own, for six seconds of a core.
FROM node AS compiled
USER root
COPY --from=fast /opt/fast /opt/fast
RUN PYTHONPATH=/opt/fast NUMBA_CACHE_DIR=/opt/numba python -P -c \
    "from worker.kernel import choose; choose('fast').warm_up()"


FROM node AS miner
COPY --from=fast /opt/fast /opt/fast
COPY --from=compiled /opt/numba /opt/numba
ENV PYTHONPATH=/opt/fast NUMBA_CACHE_DIR=/tmp/numba
