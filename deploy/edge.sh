#!/bin/sh
# The proxy of docker-compose.yml's profile `edge`: nginx with deploy/nginx.conf, changed where an operator changes it.
#
#   EDGE_NAME          the name by which clients reach it, which the certificate has
#   EDGE_API           host and port of the node's API          EDGE_RPC    of its `quarry rpc`
#                      nginx looks their addresses up when it starts, and again here when a container has another one
#   EDGE_CERTIFICATES  directory with fullchain.pem and privkey.pem
#   EDGE_HTTP, EDGE_HTTPS   where it listens: ports, or addresses with ports
#   EDGE_CONFIGURATION      deploy/nginx.conf               EDGE_RUN    a directory for what it writes
set -eu
configuration=${EDGE_CONFIGURATION:-/etc/quarry/nginx.conf}
certificates=${EDGE_CERTIFICATES:-/certificates}
run=${EDGE_RUN:-/tmp}
case ${EDGE_NAME:-} in
    '' | *[!a-z0-9.-]*) echo "edge: EDGE_NAME must be a name in lower case, such as node.example" >&2; exit 2 ;;
esac
for file in fullchain.pem privkey.pem; do
    if [ ! -r "$certificates/$file" ]; then
        echo "edge: $file cannot be read in the directory of certificates (EDGE_CERTIFICATES)" >&2
        exit 2
    fi
done
sed -e "s|node\.example|$EDGE_NAME|g" \
    -e "s|server 127\.0\.0\.1:5000;|server ${EDGE_API:-node1:5000};|" \
    -e "s|server 127\.0\.0\.1:8545;|server ${EDGE_RPC:-rpc1:8545};|" \
    -e "s|listen 80;|listen ${EDGE_HTTP:-8080};|" \
    -e "s|listen 443 ssl;|listen ${EDGE_HTTPS:-8443} ssl;|" \
    -e "s|/etc/ssl/quarry/|$certificates/|" "$configuration" > "$run/quarry.conf"
cat > "$run/nginx.conf" <<END
worker_processes auto;
pid $run/nginx.pid;
error_log stderr;
events { worker_connections 4096; }
http {
    access_log off;
    server_tokens off;
    client_body_temp_path $run/body;
    proxy_temp_path $run/proxy;
    fastcgi_temp_path $run/fastcgi;
    uwsgi_temp_path $run/uwsgi;
    scgi_temp_path $run/scgi;
    include $run/quarry.conf;
}
END

api=${EDGE_API:-node1:5000} rpc=${EDGE_RPC:-rpc1:8545}
addresses() { getent hosts "${api%:*}" && getent hosts "${rpc%:*}"; }
(
    before=$(addresses) || before=
    # $$ is the process that becomes nginx.
    while sleep 2 && kill -0 $$ 2> /dev/null; do
        if now=$(addresses) && [ "$now" != "$before" ] && nginx -e stderr -c "$run/nginx.conf" -s reload; then
            before=$now
        fi
    done
) &
exec nginx -e stderr -c "$run/nginx.conf" -g 'daemon off;'
