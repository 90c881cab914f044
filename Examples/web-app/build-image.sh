#!/bin/sh
# Makes the image localhost/web-app:VERSION without any network, from Debian's busybox-static.
#
#   build-image.sh VERSION OUT.tar
#
# OUT.tar is an OCI image layout that also has the manifest.json of `docker save`: apus, skopeo, podman and docker read
# it. The same input gives the same bytes.
set -eu
umask 022
export LC_ALL=C

[ $# -eq 2 ] || { echo "usage: $0 VERSION OUT.tar" >&2; exit 2; }
version=$1
out=$2
case $version in
  "" | *[!A-Za-z0-9_.-]*) echo "$0: the version \"$version\" must be letters, digits, '_', '.' and '-'" >&2; exit 2 ;;
esac
here=$(cd "$(dirname "$0")" && pwd)
busybox=${BUSYBOX:-/bin/busybox}
if ! "$busybox" httpd --help >/dev/null 2>&1; then
  echo "$0: $busybox with its httpd is missing: apt-get install busybox-static, or set BUSYBOX" >&2
  exit 1
fi
# The image has no C library: a dynamic busybox (Debian's package "busybox") would not start in it.
if ldd "$busybox" >/dev/null 2>&1; then
  echo "$0: $busybox is not statically linked: apt-get install busybox-static, or set BUSYBOX" >&2
  exit 1
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
mkdir -p "$root/bin" "$root/app" "$root/etc/web-app" "$root/www/cgi-bin" "$root/tmp" "$root/proc" "$root/sys" "$root/dev"
cp "$busybox" "$root/bin/busybox"
for applet in sh cat date echo env hostname httpd id kill ls nslookup ps rm sed sleep tar true wget; do
  ln -s busybox "$root/bin/$applet"
done
echo 'app:x:1000:1000:app:/tmp:/bin/sh' >"$root/etc/passwd"
echo 'app:x:1000:' >"$root/etc/group"
cp "$here/image/start" "$root/app/start"
cp "$here/image/index.cgi" "$root/www/cgi-bin/index.cgi"
cp "$here/image/info" "$root/www/cgi-bin/info"
# /health says that the server answers; /ready is there only while the pod is to get requests.
echo ok >"$root/www/health"
ln -s /tmp/ready "$root/www/ready"
chmod -R u=rwX,go=rX "$root"
chmod 755 "$root/bin/busybox" "$root/app/start" "$root/www/cgi-bin/"*
chmod 1777 "$root/tmp"

pack() { tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --format=ustar -cf "$@"; }
digest() { sha256sum "$1" | cut -d' ' -f1; }
size() { wc -c <"$1" | tr -d ' '; }

layout=$work/layout
blobs=$layout/blobs/sha256
mkdir -p "$blobs"
pack "$work/layer.tar" -C "$root" .
layer=$(digest "$work/layer.tar")
mv "$work/layer.tar" "$blobs/$layer"
case $(uname -m) in
  x86_64) architecture=amd64 ;;
  aarch64) architecture=arm64 ;;
  *) architecture=$(uname -m) ;;
esac

cat >"$work/config" <<JSON
{"created":"1970-01-01T00:00:00Z","architecture":"$architecture","os":"linux","config":{"User":"1000:1000","ExposedPorts":{"8080/tcp":{}},"Env":["PATH=/bin","APP_VERSION=$version"],"Entrypoint":["/app/start"],"WorkingDir":"/","Labels":{"org.opencontainers.image.title":"web-app","org.opencontainers.image.version":"$version"},"StopSignal":"SIGTERM"},"rootfs":{"type":"layers","diff_ids":["sha256:$layer"]},"history":[{"created":"1970-01-01T00:00:00Z","created_by":"build-image.sh"}]}
JSON
config=$(digest "$work/config")
mv "$work/config" "$blobs/$config"

cat >"$work/manifest" <<JSON
{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:$config","size":$(size "$blobs/$config")},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"sha256:$layer","size":$(size "$blobs/$layer")}]}
JSON
manifest=$(digest "$work/manifest")
mv "$work/manifest" "$blobs/$manifest"

echo '{"imageLayoutVersion":"1.0.0"}' >"$layout/oci-layout"
cat >"$layout/index.json" <<JSON
{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:$manifest","size":$(size "$blobs/$manifest"),"annotations":{"org.opencontainers.image.ref.name":"localhost/web-app:$version"},"platform":{"architecture":"$architecture","os":"linux"}}]}
JSON
cat >"$layout/manifest.json" <<JSON
[{"Config":"blobs/sha256/$config","RepoTags":["localhost/web-app:$version"],"Layers":["blobs/sha256/$layer"]}]
JSON
pack "$work/out.tar" -C "$layout" blobs index.json manifest.json oci-layout
mv "$work/out.tar" "$out"
echo "localhost/web-app:$version is in $out ($(size "$out") bytes)"
