//! One UDP socket kept for long: each line of the input is a question, each answer a line of JSON.
//!
//! What a client sees whose socket outlives its service's endpoints: a socket per question would never show it.

use super::WHO_ARE_YOU;
use super::dial::{Dialled, answer, failed, unspecified};
use std::io::{self, BufRead, Write};
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_millis(600);

/// Asks whenever a line comes; the line `connect` connects the socket, again if it was.
pub fn hold(to: SocketAddr, questions: impl BufRead, mut answers: impl Write) -> io::Result<()> {
    let socket = UdpSocket::bind(SocketAddr::new(unspecified(to), 0))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    for line in questions.lines() {
        let start = Instant::now();
        let ready = if line? == "connect" { socket.connect(to) } else { Ok(()) };
        let done = ready.and_then(|()| ask(&socket, to)).unwrap_or_else(|error| failed(&error, start));
        writeln!(answers, "{}", serde_json::to_string(&done)?)?;
        answers.flush()?;
    }
    Ok(())
}

fn ask(socket: &UdpSocket, to: SocketAddr) -> io::Result<Dialled> {
    let connected = socket.peer_addr().is_ok();
    if connected { socket.send(WHO_ARE_YOU) } else { socket.send_to(WHO_ARE_YOU, to) }?;
    let mut text = [0; 256];
    let (size, from) = socket.recv_from(&mut text)?;
    let peer = if connected { socket.peer_addr()? } else { from };
    answer(&String::from_utf8_lossy(&text[..size]), peer)
}

#[cfg(test)]
mod tests {
    use super::super::Server;
    use super::*;

    #[test]
    fn each_line_is_answered_before_and_after_connecting() {
        let server = Server::bind(0, 1).unwrap();
        let to = SocketAddr::from(([127, 0, 0, 1], server.ports()[0]));
        server.spawn();
        let mut answers = Vec::new();
        hold(to, "ask\nconnect\nask\n".as_bytes(), &mut answers).unwrap();
        let said: Vec<Dialled> =
            answers.split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
        assert_eq!(said.len(), 3);
        assert!(said.iter().all(|one| one.host().is_some()), "{said:?}");
    }
}
