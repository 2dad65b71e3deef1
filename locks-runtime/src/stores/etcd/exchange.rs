//! One request and its answer, on an HTTP/2 connection.

use super::driver::{Driver, Held};
use crate::world::World;
use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::{Request, Response};
use http_body::{Body as HttpBody, Frame};
use std::error::Error as StdError;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use tokio::sync::watch;
use tonic::Status;
use tonic::body::Body;
use tower::BoxError;

/// An open connection.
#[derive(Clone)]
pub(super) struct Open {
    pub(super) send: SendRequest<Bytes>,
    pub(super) driver: Arc<Driver>,
}

/// What becomes of one attempt to connect; nothing until that is known.
pub(super) type Dialled = watch::Receiver<Option<Result<Open, Arc<io::Error>>>>;

/// The answer to a request. Dropping it withdraws the request, as far as it was not carried out.
pub(super) enum Exchange {
    /// For the connection.
    Waiting(Pin<Box<dyn Future<Output = Self> + Send>>),
    /// For the answer.
    Sent(Held<ResponseFuture>),
    Failed(Option<Status>),
}

impl Open {
    /// Whether it takes requests: it may be closed, or about to be.
    pub(super) fn is_usable(&self) -> bool {
        let polled = self.send.clone().poll_ready(&mut Context::from_waker(Waker::noop()));
        !matches!(polled, Poll::Ready(Err(_)))
    }

    /// Sends the request. What comes later of its body is sent in the background.
    pub(super) fn send(&self, world: &World, request: Request<Body>) -> Exchange {
        let (parts, body) = request.into_parts();
        let sent: Result<_, BoxError> = self.driver.sending(|| {
            let (response, stream) = self.send.clone().send_request(Request::from_parts(parts, ()), false)?;
            Ok((response, send_what_is_there(body, stream)?))
        });
        let (response, rest) = match sent {
            Ok(sent) => sent,
            Err(error) => return Exchange::Failed(Some(unavailable("the request cannot be sent", error))),
        };
        if let Some((body, stream)) = rest {
            let stream = self.driver.hold(stream);
            world.spawn(send_rest(body, stream));
        }
        Exchange::Sent(self.driver.hold(response))
    }
}

impl Exchange {
    /// Sends the request when there is a connection.
    #[expect(clippy::async_yields_async, reason = "the request is sent in the one, and answered in the other")]
    pub(super) fn after(mut dialled: Dialled, world: World, request: Request<Body>) -> Self {
        Self::Waiting(Box::pin(async move {
            let open = match dialled.wait_for(Option::is_some).await {
                Ok(result) => result.clone(),
                Err(_) => None,
            };
            match open {
                Some(Ok(open)) => open.send(&world, request),
                Some(Err(error)) => Self::Failed(Some(unavailable("no connection", error))),
                None => Self::Failed(Some(Status::unavailable("no connection: the attempt was given up"))),
            }
        }))
    }
}

impl Future for Exchange {
    type Output = Result<Response<Body>, BoxError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match &mut *self {
                Self::Waiting(sent) => *self = ready!(sent.as_mut().poll(context)),
                Self::Sent(response) => {
                    return Poll::Ready(match ready!(Pin::new(&mut **response).poll(context)) {
                        Ok(answer) => Ok(answer.map(|received| Body::new(Answer::new(response.with(received))))),
                        Err(error) => Err(unavailable("no answer", error).into()),
                    });
                }
                Self::Failed(status) => {
                    let status = status.take().unwrap_or_else(|| Status::internal("polled after its end"));
                    return Poll::Ready(Err(status.into()));
                }
            }
        }
    }
}

/// Sends what the body has at once: all of it, but for streams. Returns what is left.
///
/// Nothing waits for room in the server's window: the connection keeps what it cannot send yet, and requests are small.
fn send_what_is_there(
    mut body: Body,
    mut stream: SendStream<Bytes>,
) -> Result<Option<(Body, SendStream<Bytes>)>, BoxError> {
    let mut context = Context::from_waker(Waker::noop());
    let mut last = None;
    loop {
        match Pin::new(&mut body).poll_frame(&mut context) {
            Poll::Ready(Some(frame)) => {
                let data = data(frame, &mut stream)?;
                if let Some(before) = last.replace(data) {
                    stream.send_data(before, false)?;
                }
            }
            Poll::Ready(None) => {
                stream.send_data(last.unwrap_or_default(), true)?;
                return Ok(None);
            }
            // The waker was nobody's: whoever sends the rest polls it again.
            Poll::Pending => {
                if let Some(data) = last {
                    stream.send_data(data, false)?;
                }
                return Ok(Some((body, stream)));
            }
        }
    }
}

/// Sends what comes of a stream, until the stream or its answer ends.
async fn send_rest(mut body: Body, mut stream: Held<SendStream<Bytes>>) {
    loop {
        let frame = poll_fn(|context| {
            // The server has closed it, or the connection is gone.
            if stream.poll_reset(context).is_ready() {
                return Poll::Ready(None);
            }
            Pin::new(&mut body).poll_frame(context)
        });
        let Some(frame) = frame.await else { break };
        let Ok(data) = data(frame, &mut stream) else { return };
        if stream.send_data(data, false).is_err() {
            return;
        }
    }
    let _ = stream.send_data(Bytes::new(), true);
}

fn data(frame: Result<Frame<Bytes>, Status>, stream: &mut SendStream<Bytes>) -> Result<Bytes, Status> {
    // A client has no trailers.
    frame.map(|frame| frame.into_data().unwrap_or_default()).inspect_err(|_| stream.send_reset(Reason::CANCEL))
}

/// What the server sends.
struct Answer {
    received: Held<RecvStream>,
    is_at_trailers: bool,
}

impl Answer {
    fn new(received: Held<RecvStream>) -> Self {
        Self { received, is_at_trailers: false }
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        while !self.is_at_trailers {
            match ready!(self.received.poll_data(context)) {
                Some(Ok(data)) => {
                    // Whoever reads makes room for more. It fails if the stream has ended, which needs none.
                    let _ = self.received.flow_control().release_capacity(data.len());
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(unavailable("the answer was cut off", error)))),
                None => self.is_at_trailers = true,
            }
        }
        let trailers = ready!(self.received.poll_trailers(context));
        let trailers = trailers.map_err(|error| unavailable("the answer was cut off", error));
        Poll::Ready(trailers.map(|trailers| trailers.map(Frame::trailers)).transpose())
    }

    fn is_end_stream(&self) -> bool {
        self.received.is_end_stream()
    }
}

/// Nobody can say whether the request was carried out.
fn unavailable(what: &str, cause: impl Into<BoxError>) -> Status {
    let cause: Box<dyn StdError + Send + Sync> = cause.into();
    let mut status = Status::unavailable(format!("{what}: {cause}"));
    status.set_source(Arc::from(cause));
    status
}
