FROM rust:1.95-bookworm AS build
WORKDIR /source
COPY . .
RUN cargo xtask page && cargo build --release --locked -p mudi

FROM debian:bookworm-slim
RUN useradd --system mudi && install -d -o mudi /data
COPY --from=build /source/target/release/mudi /usr/local/bin/mudi
COPY models /models
USER mudi
VOLUME /data
EXPOSE 8787
ENV MUDI_SERVE_DATA=/data MUDI_SERVE_MODELS=/models MUDI_SERVE_LISTEN=0.0.0.0:8787
CMD ["mudi", "serve"]
