//! One TCP connection from a pod to a load server, over which bytes go there and back all the time.
//!
//! The connection is opened in the pod's network namespace by a thread of the test and served by the load server
//! of the other pod (`R`: each byte back). A byte that does not come back, comes back late or changed ends it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Longest silence that is not an error.
const PATIENCE: Duration = Duration::from_secs(20);

/// Bytes on the way at once.
const BLOCK: usize = 512;

/// A connection under way.
pub struct Stream {
    stop: Arc<AtomicBool>,
    echoed: Arc<AtomicU64>,
    worker: JoinHandle<io::Result<Duration>>,
}

impl Stream {
    /// Connects from the network namespace of a process and starts to send.
    ///
    /// # Panics
    /// When the namespace cannot be entered or nobody answers.
    pub fn start(pid: &str, to: SocketAddr) -> Stream {
        let namespace = File::open(format!("/proc/{pid}/ns/net")).expect("the pod's process is there");
        let (stop, echoed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (told, count) = (Arc::clone(&stop), Arc::clone(&echoed));
        let worker = thread::spawn(move || {
            // This thread ends with the stream, so it need not come back.
            let network = rustix::thread::LinkNameSpaceType::Network;
            rustix::thread::move_into_link_name_space(namespace.as_fd(), Some(network))?;
            echo(&mut TcpStream::connect_timeout(&to, PATIENCE)?, &told, &count)
        });
        let stream = Stream { stop, echoed, worker };
        stream.flows("after its start");
        stream
    }

    /// Bytes that have come back.
    pub fn echoed(&self) -> u64 {
        self.echoed.load(Ordering::Relaxed)
    }

    /// Waits until more has come back.
    ///
    /// # Panics
    /// When nothing does.
    pub fn flows(&self, when: &str) {
        let before = self.echoed();
        for _ in 0..PATIENCE.as_millis() / 10 {
            if self.echoed() > before + 10 * BLOCK as u64 {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("no data flows {when}; {before} bytes before");
    }

    /// Ends it; all bytes that came back and the longest wait for a block of them, if nothing went wrong.
    ///
    /// # Panics
    /// When its thread did.
    pub fn end(self) -> io::Result<(u64, Duration)> {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.worker.join().expect("the stream's thread ends");
        ended.map(|longest| (self.echoed.load(Ordering::Relaxed), longest))
    }
}

fn echo(socket: &mut TcpStream, stop: &AtomicBool, count: &AtomicU64) -> io::Result<Duration> {
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.write_all(b"R")?;
    let (mut number, mut longest) = (0u64, Duration::ZERO);
    while !stop.load(Ordering::Relaxed) {
        let sent: Vec<u8> = (0..BLOCK as u64).map(|i| (number + i * 7) as u8).collect();
        let mut back = vec![0; BLOCK];
        let start = Instant::now();
        socket.write_all(&sent)?;
        socket.read_exact(&mut back)?;
        longest = longest.max(start.elapsed());
        if sent != back {
            return Err(io::Error::other(format!("block {number} came back changed")));
        }
        number += 1;
        count.fetch_add(BLOCK as u64, Ordering::Relaxed);
        thread::sleep(Duration::from_millis(1));
    }
    Ok(longest)
}
