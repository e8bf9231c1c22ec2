//! Accepting connections. One whose client does not take what it is sent, or asks for nothing, is dropped.

use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use axum::serve::Listener;
use tokio::net::{TcpListener, TcpStream};
use tokio_io_timeout::TimeoutStream;

/// How long a client may take nothing of what it is sent, how long until it has sent the head of its next request, and how long for a body
/// of JSON.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// A listener whose connections are patient only for a while.
pub(super) struct Patient(pub(super) TcpListener);

/// The address of a connection's other end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) SocketAddr);

impl Patient {
    /// The next connection, and its other end.
    pub(super) async fn accept(&mut self) -> (Pin<Box<TimeoutStream<TcpStream>>>, SocketAddr) {
        // Waits a second where the system has no more sockets, instead of asking again at once.
        let (stream, address) = Listener::accept(&mut self.0).await;
        // Events are small, and wanted at once; a socket that refuses only sends them later.
        let _ = stream.set_nodelay(true);
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(PATIENCE));
        (Box::pin(stream), address)
    }
}
