//! Subnet leases in etcd and the VXLAN overlay, flannel's formats.
