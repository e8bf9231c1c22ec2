FROM rust:1.95-bookworm AS build
WORKDIR /source
COPY . .
RUN cargo xtask page && cargo build --release --locked -p mudi

FROM debian:bookworm-slim
RUN useradd --system mudi && install -d -o mudi /data
COPY --from=build /source/target/release/mudi /usr/local/bin/mudi
# A volume in this place begins with these models, and `mudi models pull` can add to them.
COPY --chown=mudi models /models
USER mudi
VOLUME /data
EXPOSE 8787
ENV MUDI_SERVE_DATA=/data MUDI_SERVE_MODELS=/models MUDI_SERVE_LISTEN=0.0.0.0:8787
# There is no curl in this image, but bash speaks TCP.
HEALTHCHECK --start-period=30s CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8787 && printf 'GET /healthz HTTP/1.0\\r\\n\\r\\n' >&3 && grep -qx ok <&3"]
# A running step is finished, and its checkpoint written: `docker stop --timeout 300` leaves it the time.
CMD ["mudi", "serve"]
