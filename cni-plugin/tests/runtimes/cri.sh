#!/bin/bash
# containerd's CRI wires a pod through weft-cni, as under a kubelet. curl speaks enough gRPC for that: a message is
# five bytes of header and protobuf, over HTTP/2 on a Unix socket.
. "$(dirname "$0")/common.sh"
need containerd containerd; need ctr containerd; need crun crun; need curl curl
curl -V | grep HTTP2 > /dev/null || { echo "NEEDS: apt-get install -y curl (with HTTP2)" >&2; exit 3; }
network /etc/cni/net.d/10-weft.conflist
image "$work/image.tar" localhost/weft-pause:1 '"sh","-c","while true; do echo hello | nc -l -p 80; done"'
cat > "$work/config.toml" <<EOF
version = 2
root = "$work/root"
state = "$work/state"
[grpc]
  address = "$work/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/weft-pause:1"
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
    default_runtime_name = "crun"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.crun]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.crun.options]
        SystemdCgroup = false
        BinaryName = "$(command -v crun)"
EOF
containerd -c "$work/config.toml" > "$work/log" 2>&1 &
ctr="ctr --connect-timeout 2s -a $work/containerd.sock -n k8s.io"
for _ in $(seq 100); do $ctr version >/dev/null 2>&1 && break; sleep 0.1; done
$ctr images import --snapshotter native "$work/image.tar" > /dev/null

# field NUMBER FILE: a length-delimited field (all here are shorter than 128 bytes).
field() { printf "\\x$(printf %02x $(($1 * 8 + 2)))\\x$(printf %02x "$(stat -c %s "$2")")"; cat "$2"; }
text() { printf %s "$2" > "$work/text"; field "$1" "$work/text"; }
call() { # METHOD MESSAGE-FILE -> answer on standard output
  { printf "\\0\\0\\0\\0\\x$(printf %02x "$(stat -c %s "$2")")"; cat "$2"; } > "$work/frame"
  curl -sS --http2-prior-knowledge --unix-socket "$work/containerd.sock" -H 'Content-Type: application/grpc' \
    -H 'TE: trailers' -D "$work/headers" --data-binary "@$work/frame" "http://localhost/runtime.v1.RuntimeService/$1"
  grep -qi '^grpc-status: 0' "$work/headers" || { cat "$work/headers" >&2; tail -5 "$work/log" >&2; exit 1; }
}

{ text 1 web; text 2 uid-1; text 3 default; } > "$work/metadata"
# Port 18082 of the node leads to port 80: fields 2 and 3 of a PortMapping, as varints.
printf '\x10\x50\x18\xa2\x8d\x01' > "$work/port"
{ field 1 "$work/metadata"; field 5 "$work/port"; } > "$work/sandbox"
field 1 "$work/sandbox" > "$work/run"
id=$(call RunPodSandbox "$work/run" | grep -aoE '[0-9a-f]{64}' | head -1)
text 1 "$id" > "$work/by-id"
call PodSandboxStatus "$work/by-id" | grep -a '10\.88\.7\.2' > /dev/null && echo 'status has the address'
ping -c1 -W2 10.88.7.2 | grep 'bytes from'
for address in 10.88.7.1 127.0.0.1; do
  for _ in $(seq 20); do # between two connections nobody listens for a moment
    said=$(busybox nc -w 2 $address 18082 < /dev/null 2>/dev/null) && [ -n "$said" ] && break
    sleep 0.1
  done
  echo "host port at $address: $said"
done
call StopPodSandbox "$work/by-id" > /dev/null
call RemovePodSandbox "$work/by-id" > /dev/null
nothing_left
