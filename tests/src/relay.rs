//! A network between a client and a server that a test can cut: connections to a port go on to another one.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// How connections are now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Now {
    /// Counts the cuts: connections of an earlier one end.
    cuts: usize,
    /// Whether new ones are let through.
    open: bool,
}

/// The relay; it ends with its runtime.
#[derive(Debug)]
pub struct Relay {
    port: u16,
    now: watch::Sender<Now>,
    connections: Arc<AtomicUsize>,
}

impl Relay {
    /// Starts one to a port of this machine.
    ///
    /// # Panics
    /// When there is no port to be had.
    pub async fn to(port: u16) -> Relay {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let own = listener.local_addr().expect("its address").port();
        let now = watch::Sender::new(Now { cuts: 0, open: true });
        let connections = Arc::new(AtomicUsize::new(0));
        tokio::spawn(serve(listener, port, now.clone(), connections.clone()));
        Relay { port: own, now, connections }
    }

    /// Where clients connect to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How many connections there have been.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Ends all connections; new ones are let through.
    pub fn cut(&self) {
        self.now.send_modify(|now| now.cuts += 1);
    }

    /// Ends all connections, and new ones as soon as they come.
    pub fn close(&self) {
        self.now.send_modify(|now| *now = Now { cuts: now.cuts + 1, open: false });
    }

    /// Lets new ones through again.
    pub fn open(&self) {
        self.now.send_modify(|now| now.open = true);
    }
}

async fn serve(listener: TcpListener, port: u16, now: watch::Sender<Now>, connections: Arc<AtomicUsize>) {
    while let Ok((client, _)) = listener.accept().await {
        let mut state = now.subscribe();
        let born = *state.borrow();
        if !born.open {
            continue;
        }
        connections.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(async move {
            tokio::select! {
                _ = carry(client, (Ipv4Addr::LOCALHOST, port).into()) => {}
                _ = state.wait_for(|now| now.cuts != born.cuts) => {}
            }
        });
    }
}

/// Carries bytes both ways until one side ends.
async fn carry(mut client: TcpStream, to: SocketAddr) -> std::io::Result<()> {
    let mut server = TcpStream::connect(to).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    tokio::io::copy_bidirectional(&mut client, &mut server).await.map(drop)
}
