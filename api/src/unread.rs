//! Answers that callers have not read yet. What is sent is copied where it waits for its connection: of a long answer that is a piece at a time, and the next when that has gone. How
//! much each caller is given and leaves there is counted, because whoever asks for long tables on many connections and reads none would fill the memory of all.

use std::collections::HashMap;
use std::error::Error;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use actix_web::HttpResponse;
use actix_web::body::{self, BodySize, BoxBody, MessageBody};
use actix_web::dev::ServiceResponse;
use actix_web::http::StatusCode;
use actix_web::web::Bytes;

use crate::entrance::Limited;
use crate::problem::Problem;

/// The longest piece, in bytes: as much as a connection takes before it has sent something.
const PIECE: usize = 32 * 1024;
/// How much of its long answers one caller may leave unread, in bytes. One answer may be longer.
const UNREAD_MAX: usize = 128 * 1024 * 1024;

/// What callers have not read yet of their long answers.
#[derive(Debug)]
pub struct Unread {
    /// How much one of them may leave.
    most: usize,
    /// Whoever has left any.
    of_callers: Mutex<HashMap<Limited, usize>>,
}

impl Default for Unread {
    fn default() -> Self {
        Self::up_to(UNREAD_MAX)
    }
}

impl Unread {
    /// Where one caller may leave so many bytes.
    fn up_to(most: usize) -> Self {
        Self { most, of_callers: Mutex::default() }
    }

    fn of_callers(&self) -> MutexGuard<'_, HashMap<Limited, usize>> {
        self.of_callers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer as its caller is given it: what is short at once, what is long in pieces. A problem in the place of a long one, if it was only read and the caller has too much that
    /// it has not read; what was changed is answered all the same.
    #[must_use]
    pub fn give(self: &Arc<Self>, of: Limited, is_read: bool, response: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
        let size = response.response().body().size();
        let bytes = match size {
            BodySize::Sized(bytes) if bytes > PIECE as u64 => usize::try_from(bytes).unwrap_or(usize::MAX),
            // How much it is, is seen as it comes.
            BodySize::Stream => 0,
            BodySize::Sized(_) | BodySize::None => return response,
        };
        match self.share(of, bytes, is_read) {
            Some(share) => response.map_body(|_, body| BoxBody::new(Pieces::of(body, size, share))),
            None => response.into_response(HttpResponse::from_error(too_much())),
        }
    }

    /// Counts what a caller is given; nothing, if it may be refused and there is too much.
    fn share(self: &Arc<Self>, of: Limited, bytes: usize, is_read: bool) -> Option<Share> {
        let mut of_callers = self.of_callers();
        let before = of_callers.get(&of).copied().unwrap_or_default();
        if is_read && before > 0 && before.saturating_add(bytes.max(1)) > self.most {
            return None;
        }
        let mut share = Share { unread: Arc::clone(self), of, bytes: 0 };
        share.note(&mut of_callers, bytes);
        Some(share)
    }
}

fn too_much() -> Problem {
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", "as much as may is waiting to be read by this caller").retry_after(1)
}

/// What a caller has not read of one answer.
#[derive(Debug)]
struct Share {
    unread: Arc<Unread>,
    of: Limited,
    bytes: usize,
}

impl Share {
    /// It is so much from now on.
    fn set(&mut self, bytes: usize) {
        if bytes != self.bytes {
            let unread = Arc::clone(&self.unread);
            self.note(&mut unread.of_callers(), bytes);
        }
    }

    fn note(&mut self, of_callers: &mut HashMap<Limited, usize>, bytes: usize) {
        let all = of_callers.get(&self.of).copied().unwrap_or_default();
        let now = all.saturating_sub(self.bytes).saturating_add(bytes);
        if now > 0 {
            of_callers.insert(self.of, now);
        } else {
            of_callers.remove(&self.of);
        }
        self.bytes = bytes;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// An answer that is given in pieces.
#[derive(Debug)]
struct Pieces {
    size: BodySize,
    /// What has come of it and was not asked for yet. All of that is in memory until the last piece of it has gone.
    rest: Bytes,
    /// From where more comes.
    body: BoxBody,
    share: Share,
}

impl Pieces {
    fn of(body: BoxBody, size: BodySize, share: Share) -> Self {
        match body.try_into_bytes() {
            Ok(rest) => Self { size, rest, body: BoxBody::new(body::None::new()), share },
            Err(body) => Self { size, rest: Bytes::new(), body, share },
        }
    }
}

impl MessageBody for Pieces {
    type Error = Box<dyn Error>;

    fn size(&self) -> BodySize {
        self.size
    }

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_next(context)) {
                Some(Ok(next)) if next.len() > PIECE => {
                    self.share.set(next.len());
                    self.rest = next;
                }
                other => return Poll::Ready(other),
            }
        }
        let length = self.rest.len().min(PIECE);
        let piece = self.rest.split_to(length);
        if self.rest.is_empty() {
            self.share.set(0);
        }
        Poll::Ready(Some(Ok(piece)))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use actix_web::test::TestRequest;
    use futures_util::stream;

    use super::*;

    const CALLER: Limited = Limited::Key(1);

    fn long(length: usize) -> HttpResponse {
        HttpResponse::Ok().body(vec![7_u8; length])
    }

    fn give(unread: &Arc<Unread>, of: Limited, is_read: bool, response: HttpResponse) -> ServiceResponse<BoxBody> {
        unread.give(of, is_read, TestRequest::default().to_srv_response(response))
    }

    #[actix_rt::test]
    async fn whoever_reads_nothing_of_what_it_is_given_is_given_no_more_of_what_is_long() {
        let unread = Arc::new(Unread::up_to(100_000));
        let asked = |of, is_read, length| give(&unread, of, is_read, long(length));
        let first = asked(CALLER, true, 90_000);
        assert_eq!((first.status(), first.response().body().size()), (StatusCode::OK, BodySize::Sized(90_000)));
        let refused = asked(CALLER, true, 40_000);
        assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
        assert!(refused.headers().contains_key("retry-after"));
        let taken = [asked(CALLER, true, 1_000), asked(CALLER, false, 40_000), asked(Limited::Key(2), true, 90_000)];
        for (taken, what) in taken.iter().zip(["what is short", "what was changed", "another caller"]) {
            assert_eq!(taken.status(), StatusCode::OK, "{what}");
        }
        drop(taken);
        assert_eq!(body::to_bytes(first.into_body()).await.unwrap(), vec![7_u8; 90_000]);
        assert!(unread.of_callers().is_empty(), "all of it was read, or its connection has gone");
        let alone = asked(CALLER, true, 500_000);
        assert_eq!(alone.status(), StatusCode::OK, "one may be as long as it is");
        drop(alone);
        assert!(unread.of_callers().is_empty());
    }

    #[actix_rt::test]
    async fn what_comes_in_a_stream_is_counted_as_it_comes() {
        let unread = Arc::new(Unread::up_to(100_000));
        let chunks = [1_000, 90_000].map(|length| Ok::<_, actix_web::Error>(Bytes::from(vec![7_u8; length])));
        let mut body = give(&unread, CALLER, true, HttpResponse::Ok().streaming(stream::iter(chunks))).into_body();
        let mut lengths = Vec::new();
        while let Some(piece) = poll_fn(|context| Pin::new(&mut body).poll_next(context)).await {
            lengths.push(piece.unwrap().len());
            let left = unread.of_callers().get(&CALLER).copied();
            assert_eq!(left, [2, 3].contains(&lengths.len()).then_some(90_000), "{lengths:?}");
            let next = give(&unread, CALLER, true, long(40_000));
            assert_eq!(next.status() == StatusCode::OK, left.is_none(), "{lengths:?}");
        }
        assert_eq!(lengths, [1_000, PIECE, PIECE, 90_000 - 2 * PIECE]);
    }
}
