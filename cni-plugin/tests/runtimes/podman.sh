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
$podman run -d --name weft-one --network weft-test -p 18081:80 "$id" sh -c 'ip -4 -o addr show eth0; while true; do echo hello | nc -l -p 80; done' >/dev/null
for _ in $(seq 50); do $podman logs weft-one 2>/dev/null | grep 10.88.7 > /dev/null && break; sleep 0.1; done
$podman logs weft-one
# Between two connections nobody listens for a moment.
ask() { # NAME COMMAND…
  local name=$1 said; shift
  for _ in $(seq 20); do
    said=$("$@" < /dev/null 2>/dev/null) && [ -n "$said" ] && { echo "$name: $said"; return; }
    sleep 0.1
  done
  echo "$name: no answer"
}
# A machine beside the node, which reaches it by an address of its own.
ip link add out0 type veth peer name out1
unshare --net sleep 60 & outside=$!
for _ in $(seq 50); do [ "$(readlink /proc/$outside/ns/net)" != "$(readlink /proc/self/ns/net)" ] && break; sleep 0.02; done
ip link set out1 netns $outside
ip addr add 192.0.2.1/24 dev out0; ip addr add fd02::1/64 nodad dev out0; ip link set out0 up
nsenter --net=/proc/$outside/ns/net sh -c 'ip addr add 192.0.2.9/24 dev out1; ip addr add fd02::9/64 nodad dev out1; ip link set out1 up
  ip route add default via 192.0.2.1; ip route add default via fd02::1'
ask node busybox nc -w 2 10.88.7.1 18081
ask localhost busybox nc -w 2 127.0.0.1 18081
ask outside nsenter --net=/proc/$outside/ns/net busybox nc -w 2 192.0.2.1 18081
ask hairpin $podman exec weft-one nc -w 2 10.88.7.1 18081
if [ "$plugins" = names ]; then # the reference portmap is IPv4's alone where no IPv6 port is asked for
  ask node6 busybox nc -w 2 fd88:0:0:7::1 18081
  ask outside6 nsenter --net=/proc/$outside/ns/net busybox nc -w 2 fd02::1 18081
  ask hairpin6 $podman exec weft-one nc -w 2 fd88:0:0:7::1 18081
fi
kill $outside
$podman rm -f -t 0 weft-one >/dev/null
nothing_left
