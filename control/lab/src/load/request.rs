//! Request and response: one byte there and back, on one connection or on a new one each time.

use super::{CLOSE, LoadError, On, PATIENCE, REQUEST, Sample};
use hdrhistogram::Histogram;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Longest latency that the histogram tells apart, in nanoseconds.
const LONGEST_NS: u64 = 10_000_000_000;

/// One byte there and back on one connection, for `time`.
pub fn requests(to: SocketAddr, time: Duration) -> Result<Sample, LoadError> {
    let mut socket = TcpStream::connect_timeout(&to, PATIENCE).on("connect to", to)?;
    socket.set_nodelay(true).on("set up requests to", to)?;
    socket.set_read_timeout(Some(PATIENCE)).on("set up requests to", to)?;
    socket.write_all(&[REQUEST]).on("open requests to", to)?;
    let mut number = 0u8;
    repeat(time, || {
        number = number.wrapping_add(1);
        let mut back = [0];
        socket.write_all(&[number]).on("send a request to", to)?;
        socket.read_exact(&mut back).on("get a response from", to)?;
        if back[0] == number { Ok(()) } else { Err(LoadError::Differs { what: "request to", address: to }) }
    })
}

/// Connect, one byte there and back, close, for `time`. The server closes first, so that TIME_WAIT is on its
/// side and the client does not run out of ports.
pub fn connections(to: SocketAddr, time: Duration) -> Result<Sample, LoadError> {
    repeat(time, || {
        let mut socket = TcpStream::connect_timeout(&to, PATIENCE).on("connect to", to)?;
        socket.set_read_timeout(Some(PATIENCE)).on("set up a connection to", to)?;
        let mut back = [0; 2];
        socket.write_all(&[CLOSE]).on("send a request to", to)?;
        socket.read_exact(&mut back[..1]).on("get a response from", to)?;
        // The end of the stream: nothing more may come.
        match socket.read(&mut back[1..]).on("wait for the end from", to)? {
            0 if back[0] == CLOSE => Ok(()),
            _ => Err(LoadError::Differs { what: "connection to", address: to }),
        }
    })
}

/// Calls `operation` for `time` and notes how long each call took.
fn repeat(time: Duration, mut operation: impl FnMut() -> Result<(), LoadError>) -> Result<Sample, LoadError> {
    let mut latencies =
        Histogram::<u64>::new_with_bounds(100, LONGEST_NS, 3).map_err(|_| LoadError::Worker)?;
    let start = Instant::now();
    let mut before = start;
    while before - start < time {
        operation()?;
        let now = Instant::now();
        latencies.saturating_record((now - before).as_nanos() as u64);
        before = now;
    }
    let percentile = |p| Some(latencies.value_at_quantile(p) as f64 / 1e3);
    Ok(Sample {
        operations: latencies.len() as f64,
        seconds: (before - start).as_secs_f64(),
        p50_us: percentile(0.50),
        p99_us: percentile(0.99),
    })
}
