//! How a run waits for others on its thread.

use std::time::Duration;

use super::*;

/// Nothing takes so long, so whoever waits longer waits for ever.
const HANGS: Duration = Duration::from_secs(20);

/// Goes into a look, and says so when the owner has done with its copy: it has looked, or panicked, or found the queue full.
#[derive(Clone)]
pub(super) struct Token(pub(super) mpsc::UnboundedSender<()>);

impl Token {
    /// Keeps the token in the look.
    pub(super) const fn look(&self) {}
}

impl Drop for Token {
    fn drop(&mut self) {
        // Without a receiver nobody waits any more.
        let _ = self.0.send(());
    }
}

/// Sends a look and waits for its signal. What becomes of the look then is not touched: it would ask for the next owner if this one has stopped meanwhile.
pub(super) async fn reaches<T>(look: &mut LocalBoxFuture<'static, T>, signal: &mut mpsc::UnboundedReceiver<()>) -> Result<(), Halt> {
    if look.now_or_never().is_none() {
        within(signal.recv()).await?;
    }
    Ok(())
}

pub(super) async fn within<T>(future: impl Future<Output = T>) -> Result<T, Halt> {
    tokio::time::timeout(HANGS, future).await.map_err(|_| Halt::Wrong("the node hangs".into()))
}

/// Ends when the others have come so far.
pub(super) async fn until(reached: impl Fn() -> bool) -> Result<(), Halt> {
    within(async {
        while !reached() {
            tokio::task::yield_now().await;
        }
    })
    .await
}
