//! Shutdown: the word that a service has to stop, as an orchestrator gives it with SIGTERM.
//!
//! A service that hears it takes nothing new, finishes what it has in hand, and ends. It is never made to: whoever waits
//! for it decides how long.

use std::future::pending;

use tokio::sync::watch;

/// Whether, and from when on, a service has to stop. Clones hear the same word.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<bool>);

impl Shutdown {
    /// Comes when `asked` does. Has to be called within a runtime.
    pub fn when(asked: impl Future<Output = ()> + Send + 'static) -> Self {
        let (tell, told) = watch::channel(false);
        tokio::spawn(async move {
            asked.await;
            tell.send_replace(true);
        });
        Self(told)
    }

    /// Never comes.
    #[must_use]
    pub fn never() -> Self {
        Self(watch::channel(false).1)
    }

    /// Whether it has come.
    #[must_use]
    pub fn has_come(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it comes.
    pub async fn comes(&self) {
        if self.0.clone().wait_for(|has_come| *has_come).await.is_err() {
            pending().await
        }
    }

    /// What `work` gives, unless the word comes before it is done: then it is dropped where it waits.
    pub async fn unless_it_comes<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.comes() => None,
            done = work => Some(done),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_done_before_the_word_counts() {
        let (ask, asked) = tokio::sync::oneshot::channel::<()>();
        let shutdown = Shutdown::when(async { asked.await.unwrap() });
        assert_eq!(shutdown.unless_it_comes(async { 1 }).await, Some(1));
        assert!(!shutdown.has_come());
        ask.send(()).unwrap();
        assert_eq!(shutdown.unless_it_comes(pending::<()>()).await, None);
        assert!(shutdown.has_come());
        assert_eq!(
            Shutdown::never().unless_it_comes(async { 2 }).await,
            Some(2)
        );
    }
}
