//! TCP streams: as much as goes in a time, counted by the receiver.

use super::{LoadError, On, PATIENCE, STREAM, Sample};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

const BLOCK: usize = 128 << 10;

/// Sends on `streams` connections at once for `time`; operations are MiB.
pub fn run(to: SocketAddr, streams: usize, time: Duration) -> Result<Sample, LoadError> {
    let sockets = (0..streams).map(|_| connect(to)).collect::<Result<Vec<_>, _>>()?;
    let start = Instant::now();
    let received = thread::scope(|scope| {
        let workers: Vec<_> =
            sockets.into_iter().map(|s| scope.spawn(move || send(s, to, start + time))).collect();
        workers.into_iter().map(|w| w.join().map_err(|_| LoadError::Worker)?).sum::<Result<u64, LoadError>>()
    })?;
    let seconds = start.elapsed().as_secs_f64();
    Ok(Sample { operations: received as f64 / f64::from(1 << 20), seconds, p50_us: None, p99_us: None })
}

fn connect(to: SocketAddr) -> Result<TcpStream, LoadError> {
    let mut socket = TcpStream::connect_timeout(&to, PATIENCE).on("connect to", to)?;
    socket.set_write_timeout(Some(PATIENCE)).on("set up a stream to", to)?;
    socket.set_read_timeout(Some(PATIENCE)).on("set up a stream to", to)?;
    socket.write_all(&[STREAM]).on("open a stream to", to)?;
    Ok(socket)
}

/// Sends until `end`, then waits for the receiver's count: what is still on the way belongs to the time.
fn send(mut socket: TcpStream, to: SocketAddr, end: Instant) -> Result<u64, LoadError> {
    let block = vec![0x5a; BLOCK];
    while Instant::now() < end {
        socket.write_all(&block).on("send a stream to", to)?;
    }
    socket.shutdown(Shutdown::Write).on("end a stream to", to)?;
    let mut count = [0; 8];
    socket.read_exact(&mut count).on("get the count of a stream from", to)?;
    Ok(u64::from_be_bytes(count))
}
