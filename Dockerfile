# One image for every service of docker-compose.yml: API, workers, ticker, and the Valkey that the lock pins.

FROM python:3.12-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build

# Dependencies first, so that this layer is reused when only our own code changes.
COPY requirements.lock deploy/build.lock ./
RUN python -m venv tools \
 && tools/bin/python -m pip install --require-hashes --only-binary :all: -r build.lock \
 && python -m venv --without-pip /opt/quarry \
 && python -m pip --python /opt/quarry/bin/python install --require-hashes --only-binary :all: -r requirements.lock

COPY pyproject.toml README.md LICENSE ./
COPY shared shared
COPY services services
COPY worker worker
COPY api api
COPY lab lab
COPY quarrynode quarrynode
# The build tools are pinned too. Build isolation would fetch their newest versions, so it is off.
RUN tools/bin/python -m pip wheel --no-deps --no-build-isolation --no-index --wheel-dir wheels . \
 && python -m pip --python /opt/quarry/bin/python install --no-deps --no-index wheels/*.whl

COPY deploy/in_node.py /opt/quarry/bin/in-node
COPY deploy/health.py /opt/quarry/bin/health
COPY deploy/make_cluster.py /opt/quarry/bin/make-cluster
RUN chmod 0755 /opt/quarry/bin/in-node /opt/quarry/bin/health /opt/quarry/bin/make-cluster \
 && ln -s "$(/opt/quarry/bin/python -c 'from services.launch.embedded import find_server; print(find_server())')" \
    /opt/quarry/bin/valkey-server


FROM python:3.12-slim
# A new volume takes its owner from the directory at which it is mounted.
RUN python -m pip uninstall --yes --quiet --root-user-action=ignore pip \
 && groupadd --gid 10001 quarry \
 && useradd --uid 10001 --gid quarry --no-create-home --home-dir /data --shell /usr/sbin/nologin quarry \
 && install --directory --owner quarry --group quarry --mode 0700 /data /cluster
COPY --from=build /opt/quarry /opt/quarry
COPY deploy/valkey.conf deploy/users.acl /etc/quarry/
ENV PATH=/opt/quarry/bin:$PATH PYTHONUNBUFFERED=1 NUMBA_CACHE_DIR=/tmp/numba
USER 10001:10001
WORKDIR /data
ENTRYPOINT ["in-node"]
CMD ["quarry", "--help"]
