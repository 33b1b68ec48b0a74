//! Packets built from scratch, with right checksums: what goes in, and what must come out.
//!
//! A test says the tuple that it expects and compares all bytes with such a packet, so that the programs' incremental
//! checksums are held against sums over the whole packet.

use std::net::{IpAddr, SocketAddr};

pub const ETHERNET: usize = 14;
pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const FIN: u8 = 0x01;
pub const SYN: u8 = 0x02;
pub const RST: u8 = 0x04;
pub const ACK: u8 = 0x10;

/// A packet to be built.
#[derive(Clone, Debug)]
pub struct Packet {
    pub source: SocketAddr,
    pub destination: SocketAddr,
    pub transport: Transport,
    /// IPv4 options, padded by the builder.
    pub options: Vec<u8>,
    /// Types of IPv6 extension headers, each built with eight bytes.
    pub extensions: Vec<u8>,
    pub fragment: Option<Fragment>,
    pub payload: Vec<u8>,
}

/// What is behind the IP header.
#[derive(Clone, Debug)]
pub enum Transport {
    Tcp {
        flags: u8,
    },
    Udp {
        checksum: bool,
    },
    /// An error with its type and code, about the payload.
    Icmp {
        kind: u8,
        code: u8,
    },
}

/// Which part of a packet this is.
#[derive(Clone, Copy, Debug)]
pub struct Fragment {
    pub id: u16,
    /// Bytes of the transport's header and data that this part has.
    pub from: usize,
    pub to: usize,
}

fn packet(source: &str, destination: &str, transport: Transport) -> Packet {
    Packet {
        source: socket(source),
        destination: socket(destination),
        transport,
        options: Vec::new(),
        extensions: Vec::new(),
        fragment: None,
        payload: b"weft".to_vec(),
    }
}

/// `10.0.0.1:80` or `[fd00::1]:80`.
pub fn socket(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A TCP packet with a few bytes.
pub fn tcp(source: &str, destination: &str, flags: u8) -> Packet {
    packet(source, destination, Transport::Tcp { flags })
}

/// A UDP packet with a few bytes.
pub fn udp(source: &str, destination: &str) -> Packet {
    packet(source, destination, Transport::Udp { checksum: true })
}

/// A TCP (with flags) or UDP packet.
pub fn of(protocol: u8, source: &str, destination: &str, flags: u8) -> Packet {
    if protocol == TCP { tcp(source, destination, flags) } else { udp(source, destination) }
}

/// An ICMP or ICMPv6 error about a packet, of which so many bytes from the IP header on are told.
pub fn error(source: &str, destination: &str, kind: u8, about: &Packet, bytes: usize) -> Packet {
    let whole = about.bytes().split_off(ETHERNET);
    let with_port = |text: &str| if text.contains(':') { format!("[{text}]:0") } else { format!("{text}:0") };
    let mut error = packet(&with_port(source), &with_port(destination), Transport::Icmp { kind, code: 1 });
    error.payload = whole[..bytes.min(whole.len())].to_vec();
    error
}

impl Packet {
    /// With another payload.
    pub fn with_payload(mut self, payload: &[u8]) -> Packet {
        self.payload = payload.to_vec();
        self
    }

    /// The bytes of the frame.
    pub fn bytes(&self) -> Vec<u8> {
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
        frame.extend(if self.source.is_ipv4() { [0x08, 0x00] } else { [0x86, 0xdd] });
        let segment = self.segment();
        let part = match self.fragment {
            Some(fragment) => segment[fragment.from..fragment.to.min(segment.len())].to_vec(),
            None => segment.clone(),
        };
        match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                frame.extend(self.ipv4(&source.octets(), &destination.octets(), part.len(), segment.len()));
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                frame.extend(self.ipv6(&source.octets(), &destination.octets(), part.len(), segment.len()));
            }
            _ => panic!("{self:?} mixes families"),
        }
        frame.extend(part);
        frame
    }

    fn ipv4(&self, source: &[u8; 4], destination: &[u8; 4], length: usize, whole: usize) -> Vec<u8> {
        let mut options = self.options.clone();
        options.resize(options.len().next_multiple_of(4), 0);
        let header = 20 + options.len();
        let mut ip = vec![0x40 | (header / 4) as u8, 0];
        ip.extend(((header + length) as u16).to_be_bytes());
        let (id, field) = match self.fragment {
            Some(f) => (f.id, (f.from / 8) as u16 | if f.to < whole { 0x2000 } else { 0 }),
            None => (0x1234, 0x4000),
        };
        ip.extend(id.to_be_bytes());
        ip.extend(field.to_be_bytes());
        ip.extend([64, self.protocol(), 0, 0]);
        ip.extend(source);
        ip.extend(destination);
        ip.extend(options);
        let sum = checksum(&[&ip]);
        ip[10..12].copy_from_slice(&sum.to_be_bytes());
        ip
    }

    fn ipv6(&self, source: &[u8; 16], destination: &[u8; 16], length: usize, whole: usize) -> Vec<u8> {
        let mut chain = self.extensions.clone();
        if self.fragment.is_some() {
            chain.push(44);
        }
        chain.push(self.protocol());
        let mut headers = Vec::new();
        for pair in chain.windows(2) {
            match (pair[0], self.fragment) {
                (44, Some(f)) => {
                    let field = f.from as u16 | u16::from(f.to < whole);
                    headers.extend([pair[1], 0]);
                    headers.extend(field.to_be_bytes());
                    headers.extend([0, 0]);
                    headers.extend(f.id.to_be_bytes());
                }
                // Padding of six bytes: PadN with four (RFC 8200, section 4.2).
                _ => headers.extend([pair[1], 0, 1, 4, 0, 0, 0, 0]),
            }
        }
        let mut ip = vec![0x60, 0, 0, 0];
        ip.extend(((headers.len() + length) as u16).to_be_bytes());
        ip.extend([chain[0], 64]);
        ip.extend(source);
        ip.extend(destination);
        ip.extend(headers);
        ip
    }

    /// The transport's header and data, whole.
    fn segment(&self) -> Vec<u8> {
        let mut segment = Vec::new();
        let (from, to) = (self.source.port().to_be_bytes(), self.destination.port().to_be_bytes());
        let field = match self.transport {
            Transport::Tcp { flags } => {
                segment.extend([from, to].concat());
                segment.extend([0, 0, 0, 7, 0, 0, 0, 9, 0x50, flags, 0x20, 0, 0, 0, 0, 0]);
                Some(16)
            }
            Transport::Udp { checksum } => {
                segment.extend([from, to].concat());
                segment.extend(((8 + self.payload.len()) as u16).to_be_bytes());
                segment.extend([0, 0]);
                checksum.then_some(6)
            }
            Transport::Icmp { kind, code } => {
                segment.extend([kind, code, 0, 0, 0, 0, 0, 0]);
                Some(2)
            }
        };
        segment.extend(&self.payload);
        if let Some(field) = field {
            let pseudo = self.pseudo_header(segment.len());
            let sum = match (checksum(&[&pseudo, &segment]), &self.transport) {
                (0, Transport::Udp { .. }) => 0xffff,
                (sum, _) => sum,
            };
            segment[field..field + 2].copy_from_slice(&sum.to_be_bytes());
        }
        segment
    }

    fn pseudo_header(&self, length: usize) -> Vec<u8> {
        match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(_), _) if matches!(self.transport, Transport::Icmp { .. }) => Vec::new(),
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                pseudo_header(&a.octets(), &b.octets(), self.protocol(), length)
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => {
                pseudo_header(&a.octets(), &b.octets(), self.protocol(), length)
            }
            _ => panic!("{self:?} mixes families"),
        }
    }

    pub fn protocol(&self) -> u8 {
        match self.transport {
            Transport::Tcp { .. } => TCP,
            Transport::Udp { .. } => UDP,
            Transport::Icmp { .. } if self.source.is_ipv4() => 1,
            Transport::Icmp { .. } => 58,
        }
    }
}

/// What a transport checksum covers besides the segment (RFC 9293, section 3.1; RFC 8200, section 8.1).
pub fn pseudo_header(source: &[u8], destination: &[u8], protocol: u8, length: usize) -> Vec<u8> {
    let mut bytes = [source, destination].concat();
    bytes.extend((length as u32).to_be_bytes());
    bytes.extend([0, 0, 0, protocol]);
    bytes
}

/// The Internet checksum over parts, each of an even length but the last (RFC 1071).
pub fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0_u64;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u64::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
