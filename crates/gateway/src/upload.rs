//! The body of a request on its way to a replica: counted, limited, and kept for a replay where that is allowed.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use tokio::time::Instant;

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of a request as it came in.
pub(crate) enum Source {
    /// From one of hyper's servers.
    Incoming(Incoming),
    /// From any other.
    #[cfg_attr(
        not(any(feature = "tower", test)),
        expect(dead_code, reason = "only a tower service takes foreign bodies")
    )]
    Boxed(UnsyncBoxBody<Bytes, BoxError>),
}

impl Source {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self {
            Self::Incoming(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Self::Boxed(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Incoming(body) => body.is_end_stream(),
            Self::Boxed(body) => body.is_end_stream(),
        }
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        match self {
            Self::Incoming(body) => body.size_hint(),
            Self::Boxed(body) => body.size_hint(),
        }
    }
}

/// Why the body ended before its end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Broken {
    /// It is larger than the limit.
    TooLarge,
    /// The client went away or broke the protocol.
    Client,
}

/// What was read of a body, shared by those who send it and the one who watches them.
pub(crate) struct Upload(Mutex<State>);

struct State {
    source: Source,
    declared: SizeHint,
    limit: u64,
    received: u64,
    kept: Kept,
    /// Which cursor may read; older ones belong to attempts that were given up.
    turn: u32,
    broken: Option<Broken>,
    ended: bool,
    progress: Instant,
}

/// The frames read so far, for a replay.
enum Kept {
    Frames {
        frames: Vec<Piece>,
        bytes: usize,
        room: usize,
    },
    /// Not asked for, or more than there was room for.
    No,
}

#[derive(Clone)]
enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
}

impl Piece {
    fn frame(self) -> Frame<Bytes> {
        match self {
            Self::Data(data) => Frame::data(data),
            Self::Trailers(trailers) => Frame::trailers(trailers),
        }
    }
}

impl Upload {
    /// A body of at most `limit` bytes, of which up to `keep` are kept for a replay (0: none), of a request that arrived
    /// at `arrived`.
    pub(crate) fn new(source: Source, limit: u64, keep: usize, arrived: Instant) -> Arc<Self> {
        let declared = source.size_hint();
        let ended = source.is_end_stream();
        let kept = match keep {
            0 if !ended => Kept::No,
            room => Kept::Frames { frames: Vec::new(), bytes: 0, room },
        };
        Arc::new(Self(Mutex::new(State {
            source,
            declared,
            limit,
            received: 0,
            kept,
            turn: 0,
            broken: None,
            ended,
            progress: arrived,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the body from its beginning; earlier cursors fall silent.
    ///
    /// Only where [`Self::is_replayable`] or nothing was read yet.
    pub(crate) fn cursor(self: &Arc<Self>) -> Cursor {
        let mut state = self.state();
        state.turn += 1;
        Cursor { upload: Arc::clone(self), turn: state.turn, frames: 0, bytes: 0 }
    }

    /// Whether the body can still be sent from its beginning.
    pub(crate) fn is_replayable(&self) -> bool {
        let state = self.state();
        let untouched = state.received == 0 && !state.ended;
        state.broken.is_none() && (untouched || matches!(state.kept, Kept::Frames { .. }))
    }

    pub(crate) fn broken(&self) -> Option<Broken> {
        self.state().broken
    }

    /// Whether all of it was read.
    pub(crate) fn ended(&self) -> bool {
        self.state().ended
    }

    pub(crate) fn received(&self) -> u64 {
        self.state().received
    }

    /// When the last piece came in, or the head if there was none yet.
    pub(crate) fn progress(&self) -> Instant {
        self.state().progress
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload").field("received", &self.received()).finish_non_exhaustive()
    }
}

impl State {
    fn poll_fresh(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(broken) = self.broken {
            return Poll::Ready(Some(Err(BrokenBody(broken).into())));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        let polled = ready!(self.source.poll_frame(cx));
        self.progress = Instant::now();
        let frame = match polled {
            None => {
                self.ended = true;
                return Poll::Ready(None);
            }
            Some(Ok(frame)) => frame,
            Some(Err(_)) => return Poll::Ready(Some(Err(self.fail(Broken::Client)))),
        };
        let piece = match frame.into_data() {
            Ok(data) => {
                self.received += data.len() as u64;
                if self.received > self.limit {
                    return Poll::Ready(Some(Err(self.fail(Broken::TooLarge))));
                }
                Piece::Data(data)
            }
            Err(frame) => match frame.into_trailers() {
                Ok(trailers) => Piece::Trailers(trailers),
                Err(_) => return Poll::Ready(None),
            },
        };
        self.ended = self.source.is_end_stream();
        self.keep(&piece);
        Poll::Ready(Some(Ok(piece.frame())))
    }

    fn fail(&mut self, broken: Broken) -> BoxError {
        self.broken = Some(broken);
        BrokenBody(broken).into()
    }

    fn keep(&mut self, piece: &Piece) {
        let Kept::Frames { frames, bytes, room } = &mut self.kept else { return };
        *bytes += if let Piece::Data(data) = piece { data.len() } else { 0 };
        if *bytes <= *room {
            frames.push(piece.clone());
        } else {
            self.kept = Kept::No;
        }
    }

    /// The frame that was read as number `at`; `None` if it has not been read yet.
    fn kept(&self, at: usize) -> Option<Piece> {
        match &self.kept {
            Kept::Frames { frames, .. } => frames.get(at).cloned(),
            Kept::No => None,
        }
    }
}

/// One attempt to send the body.
pub(crate) struct Cursor {
    upload: Arc<Upload>,
    turn: u32,
    frames: usize,
    bytes: u64,
}

impl Body for Cursor {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let mut state = this.upload.state();
        if state.turn != this.turn {
            return Poll::Ready(Some(Err(Superseded.into())));
        }
        let next = match state.kept(this.frames) {
            Some(piece) => Some(Ok(piece.frame())),
            None => ready!(state.poll_fresh(cx)),
        };
        if let Some(Ok(frame)) = &next {
            this.frames += 1;
            this.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        Poll::Ready(next)
    }

    fn is_end_stream(&self) -> bool {
        let state = self.upload.state();
        state.ended && state.broken.is_none() && state.kept(self.frames).is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let declared = self.upload.state().declared.exact();
        declared.map_or_else(SizeHint::new, |all| SizeHint::with_exact(all.saturating_sub(self.bytes)))
    }
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cursor").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{}", match .0 { Broken::TooLarge => "the body is larger than allowed", Broken::Client => "the client went away" })]
struct BrokenBody(Broken);

#[derive(Debug, thiserror::Error)]
#[error("the request was sent elsewhere")]
struct Superseded;
