//! Bulk transfer: data whose SHA-256 both ends compute.
//!
//! The data is made from a seed in blocks that differ from each other, so that a block that is lost, doubled or
//! moved changes the hash. The sender computes it while sending.

use super::{BULK, LoadError, On, PATIENCE};
use ring::digest::{Context, SHA256, SHA256_OUTPUT_LEN};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

const BLOCK: usize = 64 << 10;

/// Sends `bytes` bytes and compares the receiver's hash with our own.
pub fn send(to: SocketAddr, bytes: u64, seed: u64) -> Result<(), LoadError> {
    let mut socket = TcpStream::connect_timeout(&to, PATIENCE).on("connect to", to)?;
    socket.set_write_timeout(Some(PATIENCE)).on("set up a transfer to", to)?;
    socket.set_read_timeout(Some(PATIENCE * 2)).on("set up a transfer to", to)?;
    socket.write_all(&[BULK]).on("open a transfer to", to)?;
    let mut block = first_block(seed);
    let mut hash = Context::new(&SHA256);
    let mut left = bytes;
    while left > 0 {
        let now = left.min(BLOCK as u64) as usize;
        // The count of what is left makes every block another one.
        block[..8].copy_from_slice(&left.to_be_bytes());
        socket.write_all(&block[..now]).on("transfer data to", to)?;
        hash.update(&block[..now]);
        left -= now as u64;
    }
    socket.shutdown(Shutdown::Write).on("end a transfer to", to)?;
    let mut theirs = [0; SHA256_OUTPUT_LEN];
    socket.read_exact(&mut theirs).on("get the hash of a transfer from", to)?;
    if hash.finish().as_ref() == theirs {
        Ok(())
    } else {
        Err(LoadError::Differs { what: "transfer to", address: to })
    }
}

/// The server's side: reads to the end and answers with the hash.
pub fn receive(socket: &mut TcpStream) -> io::Result<()> {
    let mut block = vec![0; BLOCK];
    let mut hash = Context::new(&SHA256);
    loop {
        match socket.read(&mut block)? {
            0 => return socket.write_all(hash.finish().as_ref()),
            n => hash.update(&block[..n]),
        }
    }
}

/// A block that does not repeat itself (xorshift).
fn first_block(seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let words = (0..BLOCK / 8).flat_map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()
    });
    words.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn seeds_make_different_data() {
        assert_ne!(first_block(2), first_block(4));
        assert_eq!(first_block(7).len(), BLOCK);
    }

    #[test]
    fn a_changed_byte_is_noticed() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let mut data = Vec::new();
            socket.read_to_end(&mut data).unwrap();
            data[1000] ^= 1;
            socket.write_all(ring::digest::digest(&SHA256, &data[1..]).as_ref()).unwrap();
        });
        assert!(matches!(send(to, 5000, 3), Err(LoadError::Differs { .. })));
        server.join().unwrap();
    }
}
