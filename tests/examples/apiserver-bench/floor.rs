//! The floor: a server that does what every server of HTTP must, and nothing else. It answers from memory, by the same
//! library over the same TLS, and is a process of its own.
//!
//! `GET /N`: N bytes. `GET /stream`: a line for each `POST /stream`, whose body is the line.

use crate::client::Target;
use http_body_util::{BodyExt, Either, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use std::collections::HashMap;
use std::convert::Infallible;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// The word that makes the bench this server.
pub const WORD: &str = "floor";
/// Lines that wait for one watcher.
const QUEUE: usize = 10_000;

/// Serves; tells its port and its certificate in the first lines.
pub fn serve() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
        let config = ServerConfig::builder().with_no_client_auth();
        let config = config.with_single_cert(vec![made.cert.der().clone()], key).unwrap();
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        println!("{}\n{}", listener.local_addr().unwrap().port(), made.cert.pem().replace('\n', "|"));
        let (acceptor, state) = (TlsAcceptor::from(Arc::new(config)), Arc::new(State::default()));
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let (acceptor, state) = (acceptor.clone(), state.clone());
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let service = service_fn(move |request| answer(state.clone(), request));
                // A client that goes away is not the floor's business.
                drop(
                    auto::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), service)
                        .await,
                );
            });
        }
    });
}

#[derive(Default)]
struct State {
    answers: Mutex<HashMap<usize, Bytes>>,
    watchers: Mutex<Vec<mpsc::Sender<Bytes>>>,
}

type Lines = StreamBody<tokio_stream::adapters::Map<tokio_stream::wrappers::ReceiverStream<Bytes>, Framed>>;
type Framed = fn(Bytes) -> Result<Frame<Bytes>, Infallible>;

async fn answer(
    state: Arc<State>,
    request: Request<Incoming>,
) -> Result<Response<Either<Full<Bytes>, Lines>>, Infallible> {
    let what = request.uri().path().trim_start_matches('/').to_owned();
    let body = match (request.method(), what.parse::<usize>()) {
        (_, Ok(bytes)) => {
            let mut answers = state.answers.lock().unwrap();
            Either::Left(Full::new(answers.entry(bytes).or_insert_with(|| vec![b'x'; bytes].into()).clone()))
        }
        (&Method::GET, _) => {
            let (sender, receiver) = mpsc::channel(QUEUE);
            state.watchers.lock().unwrap().push(sender);
            let framed: Framed = |line| Ok(Frame::data(line));
            let lines = tokio_stream::wrappers::ReceiverStream::new(receiver);
            Either::Right(StreamBody::new(tokio_stream::StreamExt::map(lines, framed)))
        }
        _ => {
            let line = request.into_body().collect().await.unwrap().to_bytes();
            state.watchers.lock().unwrap().retain(|watcher| watcher.try_send(line.clone()).is_ok());
            Either::Left(Full::new(Bytes::new()))
        }
    };
    Ok(Response::builder().header("content-type", "application/json").body(body).unwrap())
}

/// The process.
pub struct Floor {
    child: Child,
    pub target: Target,
}

impl Floor {
    /// Starts this program again, as the floor.
    pub fn start() -> Floor {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let mut child = command.arg(WORD).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut line = || lines.next().unwrap().unwrap();
        let (port, certificate) = (line().parse().unwrap(), line().replace('|', "\n"));
        Floor { child, target: Target::of_certificate(certificate.as_bytes(), port) }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
