# gossipmesh's daemon and commands, and nothing to build anything with. The base needs Python 3.11 to 3.13 with its venv module:
#   docker build -t gossipmesh .
#   docker build -t gossipmesh --build-arg BASE=debian-with-python3 .
ARG BASE=python:3.12-slim

FROM ${BASE} AS build
# "fast" brings OpenSSL, for large bodies where the processor has no AES; an empty value leaves it out: some megabytes.
ARG EXTRAS=fast
# What a request passes through is compiled to machine code, which takes less than half of the processor time; an empty value
# leaves it as it is and saves minutes of building.
ARG COMPILED=yes
WORKDIR /src
RUN if [ -z "$COMPILED" ]; then :; \
    elif command -v apk >/dev/null; then apk add --no-cache gcc musl-dev $(apk info -e python3 >/dev/null && echo python3-dev); \
    else apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev \
        $(dpkg -s python3 >/dev/null 2>&1 && echo python3-dev); fi
RUN python3 -m venv /opt/pip && python3 -m venv --without-pip /opt/gossipmesh
# What changes seldom comes first, so that a change of the code installs no dependency again.
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY gossipmesh/__init__.py gossipmesh/__init__.py
RUN /opt/pip/bin/pip --python /opt/gossipmesh/bin/python install --no-cache-dir --only-binary :all: \
        --no-binary gossipmesh --constraint constraints.txt ".${EXTRAS:+[$EXTRAS]}"
COPY gossipmesh gossipmesh
RUN if [ -n "$COMPILED" ]; then export HATCH_BUILD_HOOK_ENABLE_MYPYC=1 \
        PIP_CONSTRAINT=/src/constraints.txt PIP_BUILD_CONSTRAINT=/src/constraints.txt; fi; \
    /opt/pip/bin/pip --python /opt/gossipmesh/bin/python install --no-cache-dir --no-deps --force-reinstall .

FROM ${BASE}
LABEL org.opencontainers.image.title="gossipmesh" org.opencontainers.image.licenses="Apache-2.0"
# The daemon makes its state directory, closed to others, in a folder open to all: a tmpfs that is mounted there belongs to
# root, and takes no more than its mode from here.
# The user is two lines, since Debian's commands for it and Alpine's have nothing in common.
RUN echo 'gossipmesh:x:10001:' >>/etc/group \
    && echo 'gossipmesh:x:10001:10001::/nonexistent:/sbin/nologin' >>/etc/passwd \
    && install -d -m 1777 /var/lib/gossipmesh
COPY --from=build /opt/gossipmesh /opt/gossipmesh
ENV PATH=/opt/gossipmesh/bin:$PATH GOSSIPMESH_STATE=/var/lib/gossipmesh/node PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
EXPOSE 7946/tcp 7946/udp
STOPSIGNAL SIGTERM
# Whether the daemon answers; whether it is ready is for `gossipmesh wait` and /readyz to say. Asking costs a tenth of a second.
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s --retries=3 CMD ["gossipmesh", "status", "--json"]
ENTRYPOINT ["gossipmesh"]
CMD ["up"]
