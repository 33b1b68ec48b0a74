//! A UDP socket in the lab that is kept from one question to the next.

use super::bed::Bed;
use super::case::Dialled;
use crate::weft;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

/// The socket's process.
pub struct Hold {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Hold {
    /// Opens a socket in a place or pod.
    ///
    /// # Panics
    /// When the load tool does not start.
    pub fn open(bed: &Bed, from: &str, to: SocketAddr) -> Hold {
        let (weft, to) = (weft().display().to_string(), to.to_string());
        let mut command = bed.lab.exec_command(from, &[&weft, "lab", "load", "hold", "--to", &to]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("weft starts");
        let questions = child.stdin.take().expect("an input");
        let answers = BufReader::new(child.stdout.take().expect("an output"));
        Hold { child, questions, answers }
    }

    /// Asks over the socket.
    pub fn ask(&mut self) -> Dialled {
        self.say("ask")
    }

    /// Whether somebody has ended it: a question over it gets an error that is no silence.
    pub fn is_ended(&mut self) -> bool {
        const EAGAIN: i32 = 11;
        matches!(self.ask(), Dialled::Failed { errno: Some(errno), .. } if errno != EAGAIN)
    }

    /// Connects it, and asks.
    pub fn connect(&mut self) -> Dialled {
        self.say("connect")
    }

    fn say(&mut self, line: &str) -> Dialled {
        writeln!(self.questions, "{line}").expect("the load tool reads");
        let mut said = String::new();
        self.answers.read_line(&mut said).expect("the load tool answers");
        serde_json::from_str(&said).unwrap_or_else(|e| panic!("it said {said:?}: {e}"))
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is waited for.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
