//! The body of an answer, whose lock is held until its end.

use bytes::Bytes;
use distributed_locks::Error;
use http_body::{Body, Frame, SizeHint};
use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::sync::oneshot;

/// Any error of a body.
pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

/// What a body has next.
type Next = Option<Result<Frame<Bytes>, BoxError>>;

/// The hold of a lock: ends when the lock is released, or was lost.
pub(crate) type Holding = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

/// The body of an answer. It ends when the lock is released, so that whoever has read it to its end finds the lock free; and with
/// an error if the lock is lost before. Dropping it releases the lock.
pub struct LockBody<B>(Stage<B>);

enum Stage<B> {
    /// It has no lock.
    Free(Pin<Box<B>>),
    /// It is the layer's own.
    Text(Option<Bytes>),
    Held(Held<B>),
    /// All is produced, and this is yet to be given out when the lock is released.
    Releasing(Holding, Next),
    Over,
}

struct Held<B> {
    inner: Pin<Box<B>>,
    holding: Holding,
    /// Dropped at the end.
    _open: oneshot::Sender<()>,
    /// How many bytes are still to come, where the answer says how many there are: whoever reads them may not wait for the end.
    left: Option<u64>,
}

impl<B> LockBody<B> {
    /// One that needs no lock any more.
    pub(crate) fn free(inner: B) -> Self {
        Self(Stage::Free(Box::pin(inner)))
    }

    /// One under a lock that is held until `open` is dropped.
    pub(crate) fn held(inner: B, holding: Holding, open: oneshot::Sender<()>, length: Option<u64>) -> Self {
        Self(Stage::Held(Held { inner: Box::pin(inner), holding, _open: open, left: length }))
    }

    pub(crate) fn text(text: String) -> Self {
        Self(Stage::Text(Some(text.into())))
    }

    pub(crate) fn empty() -> Self {
        Self(Stage::Over)
    }
}

impl<B: Body<Data = Bytes>> Held<B>
where
    B::Error: Into<BoxError>,
{
    /// The next frame, and whether it is the last one.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<(Next, bool)> {
        let frame = match ready!(self.inner.as_mut().poll_frame(context)) {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return Poll::Ready((Some(Err(error.into())), true)),
            None => return Poll::Ready((None, true)),
        };
        if let (Some(left), Some(data)) = (&mut self.left, frame.data_ref()) {
            *left = left.saturating_sub(data.len() as u64);
        }
        let is_last = frame.is_trailers() || self.inner.is_end_stream() || self.left == Some(0);
        Poll::Ready((Some(Ok(frame)), is_last))
    }
}

impl<B: Body<Data = Bytes>> Body for LockBody<B>
where
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Next> {
        let stage = &mut self.0;
        if let Stage::Held(held) = stage {
            // Before its body is polled: nothing of that is done without the lock.
            if let Poll::Ready(ended) = held.holding.as_mut().poll(context) {
                *stage = Stage::Over;
                return Poll::Ready(ended.err().map(|lost| Err(lost.into())));
            }
            let (frame, is_last) = ready!(held.poll(context));
            if !is_last {
                return Poll::Ready(frame);
            }
            if let Stage::Held(held) = std::mem::replace(stage, Stage::Over) {
                // Here its body is dropped, and then the lock released.
                *stage = Stage::Releasing(held.holding, frame);
            }
        }
        match stage {
            Stage::Free(inner) => inner.as_mut().poll_frame(context).map_err(Into::into),
            Stage::Text(text) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            Stage::Releasing(holding, last) => {
                let ended = ready!(holding.as_mut().poll(context));
                let last = last.take();
                *stage = Stage::Over;
                // What was produced may have been produced without the lock.
                Poll::Ready(ended.map_or_else(|lost| Some(Err(lost.into())), |()| last))
            }
            Stage::Held(_) | Stage::Over => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Stage::Free(inner) => inner.is_end_stream(),
            Stage::Text(text) => text.is_none(),
            Stage::Held(_) | Stage::Releasing(..) => false,
            Stage::Over => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Stage::Free(inner) | Stage::Held(Held { inner, .. }) => inner.size_hint(),
            Stage::Text(text) => SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64)),
            Stage::Releasing(..) => SizeHint::new(),
            Stage::Over => SizeHint::with_exact(0),
        }
    }
}

impl<B> fmt::Debug for LockBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match &self.0 {
            Stage::Free(_) => "free",
            Stage::Text(_) => "text",
            Stage::Held(_) => "held",
            Stage::Releasing(..) => "releasing",
            Stage::Over => "over",
        };
        f.debug_struct("LockBody").field("stage", &stage).finish_non_exhaustive()
    }
}
