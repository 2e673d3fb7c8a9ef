"""Configuration of the proxies that gossipmesh is measured beside: what a node would run, and nothing beyond it.

For all: one thread, connections to the app kept alive, no access log, no limit that a load meets. Where a setting is
a choice, it is the one that costs that proxy less.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from certificates import NAME

TLS_EXTENSION: Final = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3"
HTTP_EXTENSION: Final = "type.googleapis.com/envoy.extensions"


def envoy(folder: Path, port: int, to: int, *, front: bool, http2: bool) -> Path:
    """Write the configuration of the caller's Envoy (``front``) or of the app's; mTLS with TLS 1.3 between the two.

    Its documentation asks more of an edge proxy (limits, timeouts against slow peers); all of it would cost time. Off
    is what is on by default and nobody asks of a sidecar here: request ids of its own, the time limit of a route.
    """
    inner: dict[str, Any] = {"http2_protocol_options": {}} if http2 else {"http_protocol_options": {}}
    plain: dict[str, Any] = {"http_protocol_options": {}}
    manager = {
        "@type": f"{HTTP_EXTENSION}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bench",
        "generate_request_id": False,
        "codec_type": "HTTP2" if http2 and not front else "HTTP1",
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "next", "timeout": "0s"}}],
                }
            ]
        },
        "http_filters": [
            {
                "name": "router",
                "typed_config": {"@type": f"{HTTP_EXTENSION}.filters.http.router.v3.Router"},
            }
        ],
    }
    chain: dict[str, Any] = {"filters": [{"name": "http", "typed_config": manager}]}
    cluster: dict[str, Any] = {
        "name": "next",
        "type": "STATIC",
        "load_assignment": {
            "cluster_name": "next",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(to)}}]}],
        },
        "typed_extension_protocol_options": {
            f"{HTTP_EXTENSION.removeprefix('type.googleapis.com/')}.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{HTTP_EXTENSION}.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": inner if front else plain,
            }
        },
    }
    if front:
        cluster["transport_socket"] = _tls(folder, "UpstreamTlsContext", http2, {"sni": NAME})
    else:
        asks = {"require_client_certificate": True}
        chain["transport_socket"] = _tls(folder, "DownstreamTlsContext", http2, asks)
    listener = {"name": "in", "address": _address(port), "filter_chains": [chain]}
    path = folder / f"envoy-{'front' if front else 'back'}.json"
    path.write_text(json.dumps({"static_resources": {"listeners": [listener], "clusters": [cluster]}}))
    return path


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _tls(folder: Path, kind: str, http2: bool, more: dict[str, Any]) -> dict[str, Any]:
    versions = {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"}
    certificate = {
        "certificate_chain": {"filename": str(folder / "node.pem")},
        "private_key": {"filename": str(folder / "node.key")},
    }
    common = {
        "tls_params": versions,
        "tls_certificates": [certificate],
        "validation_context": {
            "trusted_ca": {"filename": str(folder / "ca.pem")},
            "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": NAME}}],
        },
        "alpn_protocols": ["h2" if http2 else "http/1.1"],
    }
    config = {"@type": f"{TLS_EXTENSION}.{kind}", "common_tls_context": common} | more
    return {"name": "tls", "typed_config": config}


HAPROXY: Final = """
global
  nbthread 1
  maxconn 4096
  ssl-default-bind-options ssl-min-ver TLSv1.3
  ssl-default-server-options ssl-min-ver TLSv1.3
defaults
  mode http
  no log
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  # any idle connection may serve any request, as a mesh's may; `safe`, the default, would open more
  http-reuse always
frontend in
  bind 127.0.0.1:{port} {bind}
  default_backend next
backend next
  server next 127.0.0.1:{to} {server}
"""


def haproxy(folder: Path, port: int, to: int, *, front: bool) -> Path:
    """Write the configuration of the caller's HAProxy (``front``) or of the app's; mTLS with TLS 1.3 between them."""
    tls = f"ssl crt {folder / 'both.pem'} ca-file {folder / 'ca.pem'} verify required"
    bind, server = ("", f"{tls} sni str({NAME}) verifyhost {NAME}") if front else (tls, "")
    path = folder / f"haproxy-{'front' if front else 'back'}.cfg"
    path.write_text(HAPROXY.format(port=port, to=to, bind=bind, server=server))
    return path


NGINX: Final = """
daemon off;
master_process off;
error_log {folder}/nginx.log crit;
pid {folder}/nginx.pid;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/temp;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  # by default a connection ends after 1,000 requests, and bodies over 1 MiB are refused
  keepalive_requests 1000000000;
  client_max_body_size 0;
  upstream next {{
    server 127.0.0.1:{to};
    keepalive 512;
    keepalive_requests 1000000000;
  }}
  server {{
    listen 127.0.0.1:{port} backlog=1024;
    location / {{
      proxy_pass http://next;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      # bodies pass as they come, as with all others here; by default nginx would put them into files
      proxy_request_buffering off;
      proxy_max_temp_file_size 0;
    }}
  }}
}}
"""


def nginx(folder: Path, port: int, to: int) -> Path:
    """Write the configuration of a plain reverse proxy, one hop in clear."""
    path = folder / "nginx.conf"
    path.write_text(NGINX.format(folder=folder, port=port, to=to))
    return path
