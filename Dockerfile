# edged on one line: docker run -v /etc/edged:/etc/edged:ro -v edged-state:/var/lib/edged edged run /etc/edged/line-a.yaml
FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY requirements requirements
RUN python -m venv /opt/edged \
 && /opt/edged/bin/pip install --no-cache-dir --require-hashes -r requirements/edge.lock
COPY . .
RUN /opt/edged/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.11-slim-bookworm
RUN useradd --system --uid 10001 --home-dir /var/lib/edged --create-home edged
COPY --from=build /opt/edged /opt/edged
USER edged
ENV PATH=/opt/edged/bin:$PATH EDGED_DATA_DIRECTORY=/var/lib/edged EDGED_HTTP_PORT=8470
VOLUME /var/lib/edged
# The status pages stay on the container's loopback unless the configuration sets a token.
# EDGED_HTTP_PORT is what the configuration takes its port from.
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s \
  CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"EDGED_HTTP_PORT\"]}/healthz', timeout=3)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["edged"]
CMD ["run", "/etc/edged/line-a.yaml"]
