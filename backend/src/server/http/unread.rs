//! What a handler leaves of a request's body.
//!
//! A request is often refused before all of its body has come. A connection that is closed then is reset while the client still sends, and the
//! client, browsers among them, may never see the answer that says why. So the rest is taken, for a while, and thrown away.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{Request, header};
use futures_util::StreamExt;
use hyper::body::{Frame, Incoming, SizeHint};
use tokio::runtime::Handle;
use tokio::time::timeout;

/// How long the rest may take, and how long nothing of it may come: some clients send all that they have before they read. As long as nginx
/// waits.
const LONGEST: Duration = Duration::from_secs(30);
const PATIENCE: Duration = Duration::from_secs(5);

/// The request, whose body is taken to its end by somebody in any case.
pub(super) fn taken(request: Request<Incoming>) -> Request<Body> {
    // Who asks before sending it (`Expect: 100-continue`) sends nothing that is not read.
    let asks = request.headers().contains_key(header::EXPECT);
    request.map(|body| Body::new(Taken { body: Some(body), comes: !asks }))
}

struct Taken {
    /// There until this is dropped.
    body: Option<Incoming>,
    /// Whether the client sends it.
    comes: bool,
}

impl HttpBody for Taken {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.comes = true;
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(HttpBody::size_hint).unwrap_or_default()
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let rest = self.body.take().filter(|body| self.comes && !body.is_end_stream());
        // Where the program ends, nobody waits for an answer.
        if let (Some(rest), Ok(runtime)) = (rest, Handle::try_current()) {
            runtime.spawn(timeout(LONGEST, throw_away(rest)));
        }
    }
}

async fn throw_away(rest: Incoming) {
    let mut rest = Body::new(rest).into_data_stream();
    while let Ok(Some(Ok(_))) = timeout(PATIENCE, rest.next()).await {}
}
