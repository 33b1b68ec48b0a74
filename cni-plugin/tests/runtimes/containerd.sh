#!/bin/bash
# containerd wires a container through weft-cni: `ctr run --cni`, containerd's own CNI caller.
. "$(dirname "$0")/common.sh"
need containerd containerd; need ctr containerd; need crun crun
network /etc/cni/net.d/10-weft.conflist
image "$work/image.tar" localhost/weft-test:1
cat > "$work/config.toml" <<EOF
version = 2
root = "$work/root"
state = "$work/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "$work/containerd.sock"
EOF
containerd -c "$work/config.toml" > "$work/log" 2>&1 &
ctr="ctr --connect-timeout 2s -a $work/containerd.sock -n weft"
for _ in $(seq 100); do $ctr version >/dev/null 2>&1 && break; sleep 0.1; done
$ctr images import --snapshotter native "$work/image.tar" > /dev/null || { cat "$work/log"; exit 1; }
$ctr run --cni --rm --snapshotter native --runc-binary "$(command -v crun)" localhost/weft-test:1 weft-one \
  sh -c 'ip -4 -o addr show eth0; ip route; ping -c1 -W2 10.88.7.1' || { tail "$work/log"; exit 1; }
nothing_left
