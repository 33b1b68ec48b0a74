#!/bin/bash
# podman (network_backend cni) wires a container through weft-cni, with a published port.
. "$(dirname "$0")/common.sh"
need podman podman; need crun crun
network /etc/cni/net.d/10-weft.conflist
image "$work/image.tar" localhost/weft-test:1
mkdir -p /etc/containers
cat > /etc/containers/containers.conf <<EOF
[network]
network_backend = "cni"
network_config_dir = "/etc/cni/net.d"
default_network = "weft-test"
cni_plugin_dirs = ["/opt/cni/bin"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "crun"
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=20000:20000"]
EOF
printf '{"default":[{"type":"insecureAcceptAnything"}]}' > /etc/containers/policy.json
podman="podman --root $work/root --runroot $work/run --tmpdir $work/podman --storage-driver vfs"
$podman load -q -i "$work/image.tar" >/dev/null
id=$($podman images -q | head -1)
$podman run -d --name weft-one --network weft-test -p 18081:80 "$id" sh -c 'ip -4 -o addr show eth0; echo hello | nc -l -p 80; sleep 60' >/dev/null
for _ in $(seq 50); do $podman logs weft-one 2>/dev/null | grep -q 10.88.7 && break; sleep 0.1; done
$podman logs weft-one
busybox nc -w 2 10.88.7.1 18081 < /dev/null
$podman rm -f -t 0 weft-one >/dev/null
nothing_left
