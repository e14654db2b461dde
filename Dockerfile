# docker build -t chromatid . && docker run -p 8000:8000 -e DATABASE_URL=... \
#   -e PRIMARY_URL=... -e REPLICA_URL=... chromatid
# A read-only root file system is fine; nothing is written.

FROM debian:12-slim AS build
RUN apt-get update \
	&& apt-get install -y --no-install-recommends gcc libc6-dev cmake ninja-build \
		pkg-config libevent-dev libevhtp-dev libpq-dev libjansson-dev libssl-dev \
	&& rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY CMakeLists.txt CMakePresets.json ./
COPY core core
COPY health health
COPY mapping mapping
COPY wal wal
COPY http http
RUN cmake --preset release \
	&& cmake --build --preset release \
	&& strip build/release/chromatid

FROM debian:12-slim
LABEL org.opencontainers.image.title="Chromatid" \
	org.opencontainers.image.description="High-availability proxy for self-hosted Chroma" \
	org.opencontainers.image.licenses="Apache-2.0"
RUN apt-get update \
	&& apt-get install -y --no-install-recommends ca-certificates libevent-2.1-7 \
		libevent-openssl-2.1-7 libevent-pthreads-2.1-7 libevhtp0 libpq5 libjansson4 \
		libssl3 \
	&& rm -rf /var/lib/apt/lists/*
COPY --from=build /src/build/release/chromatid /usr/local/bin/chromatid
COPY LICENSE /usr/share/doc/chromatid/LICENSE
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s CMD ["chromatid", "healthcheck", "--alive"]
ENTRYPOINT ["chromatid"]
