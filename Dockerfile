# The ambassador's image: one static program on nothing else.
#
#   docker build -t ambassador .
#   docker run --link redis:redis -p 6379:6379 ambassador      one tier, from link variables
#   docker run -p 6379:6379 ambassador 192.168.1.52 6379       one tier, to HOST PORT
#   docker-compose.yml shows two tiers: serve and connect
#
# It builds with the classic builder as well as with BuildKit, so nothing here
# is BuildKit's alone: no RUN --mount, no COPY --chmod, no heredoc. The classic
# builder knows no platform arguments: without them it builds for linux/amd64,
# and another platform needs BuildKit (docker buildx build --platform ...).
#
# What changes least comes first in both stages: a change of code then costs
# one compilation and one layer.

FROM --platform=${BUILDPLATFORM:-linux/amd64} golang:1.26 AS build
WORKDIR /src

# The two directories of the image that are not root's; see below.
RUN mkdir -p /image/root/var/lib /image/lib/ambassador /image/top/out \
 && chmod 700 /image/lib/ambassador /image/top/out

# The modules come before the source: a change of code does not fetch them anew.
COPY go.mod go.sum ./
RUN go mod download

# An empty GOOS, GOARCH or GOARM means the go command's own default, which is
# what the classic builder leaves behind.
ARG TARGETOS
ARG TARGETARCH
ARG TARGETVARIANT
ARG VERSION=devel
ARG REVISION=
COPY . .
# The compiler's cache would be most of this layer, and no later step reads it.
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH GOARM=${TARGETVARIANT#v} GOCACHE=/tmp/cache \
    go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$VERSION -X main.commit=$REVISION" \
    -o /image/ambassador ./cmd/ambassador \
 && rm -rf /tmp/cache

FROM scratch
LABEL org.opencontainers.image.title="ambassador" \
      org.opencontainers.image.description="Reach a service on another host as if it were local: two ambassadors and one mutual-TLS connection" \
      org.opencontainers.image.licenses="Apache-2.0"
# 127.0.0.1 inside a container reaches nobody.
ENV AMBASSADOR_EXPOSE_HOST=0.0.0.0 \
    AMBASSADOR_STATE_DIR=/var/lib/ambassador
# A number, not a name: the image has no /etc/passwd, and Kubernetes'
# runAsNonRoot can judge only a number.
USER 65532:65532
# No EXPOSE: the ports are those of the links, known only at run time, and an
# EXPOSE would give every container linked to this one variables that lie.
ENTRYPOINT ["/ambassador"]
CMD ["forward"]
# Ready means that the tunnel is up and the backends of all links answer. There is
# no shell to run it: the program asks the one that runs here, over its socket.
HEALTHCHECK --interval=10s --timeout=6s --start-period=20s --retries=3 CMD ["/ambassador", "healthcheck", "--timeout", "5s"]

# A new named volume takes owner and mode from the image's directory under it.
# The ambassador refuses to keep keys in a directory that others can read, and
# no chmod can be run in this image, so both directories come from here:
# /var/lib/ambassador is the state, /out is for what another container is to
# have: "invite NAME --out /out/token", or "certs issue NAME --out /out".
# Only COPY --chown of a folder *into an existing one* gives both builders the
# same owner and mode without giving away /var or /var/lib as well.
COPY --from=build /image/root/ /
COPY --from=build --chown=65532:65532 /image/lib/ /var/lib/
COPY --from=build --chown=65532:65532 /image/top/ /
COPY LICENSE NOTICE /

COPY --from=build /image/ambassador /ambassador
ARG VERSION=devel
ARG REVISION=
LABEL org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
