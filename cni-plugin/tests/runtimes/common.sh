# Sourced by containerd.sh and podman.sh: a private world and an image. The caller has made mount, network and PID
# namespaces (unshare --mount --net --pid --fork --kill-child), so all of it ends with the script.
#   $1 the folder for everything   $2 the plugin   $3 "own": our type beside the reference plugins; "names": ours alone,
#   under the names of the reference plugins and of flannel's
set -euo pipefail
work=$1 plugin=$2 plugins=$3
need() { command -v "$1" >/dev/null || { echo "NEEDS: apt-get install -y --no-install-recommends $2" >&2; exit 3; }; }
need busybox busybox-static
busybox --list | grep '^httpd$' > /dev/null || { echo "NEEDS: apt-get install -y busybox-static" >&2; exit 3; }
[ -x /usr/lib/cni/portmap ] || { echo "NEEDS: apt-get install -y containernetworking-plugins" >&2; exit 3; }

mount --make-rprivate /
mount -t tmpfs weft-test "$work"
mkdir -p "$work"/{opt,img,store}
# The paths that runtimes have built in, without touching the machine's.
for place in /etc /var/lib; do
  mkdir -p "$work/over$place"/{up,work}
  mount -t overlay overlay -o "lowerdir=$place,upperdir=$work/over$place/up,workdir=$work/over$place/work" "$place"
done
rm -rf /var/lib/cni
mount --bind "$work/opt" /opt
mount -t tmpfs run /run
mkdir -p /run/lock
mkdir -p /opt/cni/bin /etc/cni/net.d
rm -f /etc/cni/net.d/*
cp "$plugin" /opt/cni/bin/weft-cni
case $plugins in
  own) ln -s /usr/lib/cni/* /opt/cni/bin/ ;;
  names) for name in bridge host-local static ptp loopback portmap bandwidth tuning firewall flannel; do
    ln -s weft-cni "/opt/cni/bin/$name"
  done ;;
esac
# crun 1.8 refuses hybrid cgroups while v2 holds a controller.
if [ -d /sys/fs/cgroup/unified ]; then mount -t tmpfs hide /sys/fs/cgroup/unified; fi
ip link set lo up

# One layer with busybox, as an OCI layout in a tar.
image() { # OUT NAME [CMD]
  local root=$work/img/root w=$work/img/oci d
  mkdir -p "$root"/{bin,etc,tmp,proc,sys,dev} "$w/blobs/sha256"
  cp "$(command -v busybox)" "$root/bin/busybox"
  for applet in sh ip ping sleep cat nc; do ln -sf busybox "$root/bin/$applet"; done
  printf 'root:x:0:0:root:/:/bin/sh\n' > "$root/etc/passwd"
  put() { d=$(sha256sum < "$1" | cut -d' ' -f1); size=$(stat -c %s "$1"); cp "$1" "$w/blobs/sha256/$d"; }
  tar -C "$root" --owner=0 --group=0 --mtime=@0 -cf "$work/img/layer" .
  put "$work/img/layer"; local layer=$d layer_size=$size
  printf '{"created":"1970-01-01T00:00:00Z","architecture":"amd64","os":"linux","config":{"Cmd":[%s],"Env":["PATH=/bin"]},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' "${3:-\"sh\"}" "$layer" > "$work/img/config"
  put "$work/img/config"; local config=$d config_size=$size
  printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:%s","size":%s},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"sha256:%s","size":%s}]}' "$config" "$config_size" "$layer" "$layer_size" > "$work/img/manifest"
  put "$work/img/manifest"
  printf '{"imageLayoutVersion":"1.0.0"}' > "$w/oci-layout"
  printf '{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:%s","size":%s,"platform":{"architecture":"amd64","os":"linux"},"annotations":{"io.containerd.image.name":"%s","org.opencontainers.image.ref.name":"%s"}}]}' "$d" "$size" "$2" "$2" > "$w/index.json"
  tar -C "$w" -cf "$1" oci-layout index.json blobs
}

network() { # FILE
  if [ "$plugins" = names ]; then
    mkdir -p /run/flannel
    printf 'FLANNEL_NETWORK=10.88.0.0/16\nFLANNEL_SUBNET=10.88.7.1/24\nFLANNEL_IPV6_NETWORK=fd88::/48\nFLANNEL_IPV6_SUBNET=fd88:0:0:7::1/64\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n' > /run/flannel/subnet.env
    cat > "$1" <<EOF
{"cniVersion":"0.4.0","name":"weft-test","plugins":[
 {"type":"flannel","ipam":{"dataDir":"$work/store"},"delegate":{"isDefaultGateway":true,"hairpinMode":true}},
 {"type":"portmap","capabilities":{"portMappings":true}},
 {"type":"bandwidth","ingressRate":800000000,"ingressBurst":8000000,"egressRate":800000000,"egressBurst":8000000},
 {"type":"tuning","sysctl":{"net.core.somaxconn":"500"}},
 {"type":"firewall"}]}

EOF
    return
  fi
  cat > "$1" <<EOF
{"cniVersion":"0.4.0","name":"weft-test","plugins":[
 {"type":"weft-cni","bridge":"cni0","isDefaultGateway":true,"hairpinMode":true,
  "ipam":{"type":"host-local","dataDir":"$work/store","ranges":[[{"subnet":"10.88.7.0/24"}],[{"subnet":"fd88:0:0:7::/64"}]]}},
 {"type":"portmap","capabilities":{"portMappings":true}}]}
EOF
}

nothing_left() {
  local links addresses
  links=$(ip -o link show type veth)
  addresses=$(find "$work/store" -name '10.*')
  links+=$(ip -o link show type ifb)
  addresses+=$(find /var/lib/cni /run/cni -type f ! -name lock ! -name '.*' 2>/dev/null || true)
  [ -z "$links$addresses" ] || { echo "left behind: $links $addresses"; exit 1; }
  if [ "$plugins" = names ]; then
    rules=$(nft list ruleset)
    [ -z "$rules" ] || { echo "left behind: $rules"; exit 1; }
  fi
  echo "nothing-left"
}
