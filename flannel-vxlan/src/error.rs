//! What ends the daemon. Everything else is logged, counted and tried again.

/// Why the overlay cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The network configuration is wrong.
    #[error("network configuration at {key}: {reason}")]
    Config {
        /// Where it was read.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No interface fits.
    #[error("no interface for the overlay: {0}; name one with --iface")]
    Uplink(String),
    /// Another machine has our public IP.
    #[error(transparent)]
    Identity(Box<Conflict>),
    /// The lease for our public IP was made by another node.
    #[error(
        "the lease {key} for {public_ip} was made by node `{other}`, this is node `{ours}`: if that machine is gone for good, start once with --take-over; else give this one another address with --public-ip or --iface"
    )]
    ForeignLease {
        /// The lease.
        key: String,
        /// The address.
        public_ip: String,
        /// Who made it.
        other: String,
        /// Our name.
        ours: String,
    },
    /// The VTEP's MAC is another node's too.
    #[error(
        "VTEP MAC {mac} is also that of {other} ({key}): this machine is a copy of that one; give it a machine id of its own (`systemd-machine-id-setup`) or another --public-ip"
    )]
    DuplicateMac {
        /// The MAC.
        mac: String,
        /// Its other owner.
        other: String,
        /// The other's lease.
        key: String,
    },
    /// Every subnet is taken.
    #[error(
        "no free subnet in {network} (prefix length {length}, {taken} taken): widen Network or SubnetMin/SubnetMax in {key}"
    )]
    NoSubnet {
        /// The network.
        network: String,
        /// Of subnets.
        length: u8,
        /// How many are taken.
        taken: usize,
        /// The configuration's key.
        key: String,
    },
    /// The kernel's state cannot be read or changed at all.
    #[error(transparent)]
    Kernel(#[from] netstate::Error),
    /// A request to the state failed; transient ones are retried by the caller.
    #[error("etcd: {0}")]
    Etcd(#[from] etcd_client::Error),
    /// A file could not be written.
    #[error("cannot write {}: {source}", path.display())]
    File {
        /// Which.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Two machines with one public IP.
#[derive(Debug, thiserror::Error)]
#[error(
    "another machine already runs as {public_ip}: node `{other}` (boot id {other_boot}) holds {key}, this is node `{ours}` (boot id {our_boot}). Two machines with one public IP black-hole each other: give one of them another interface with --iface or another address with --public-ip"
)]
pub struct Conflict {
    /// The address.
    pub public_ip: String,
    /// The other node's name.
    pub other: String,
    /// The other's boot id.
    pub other_boot: String,
    /// Where it says so.
    pub key: String,
    /// Our name.
    pub ours: String,
    /// Our boot id.
    pub our_boot: String,
}

impl Error {
    /// Whether trying again later can help without anybody's action.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Etcd(_))
    }
}
