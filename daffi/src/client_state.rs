//! What a client says of its connection.

use std::sync::Arc;

use tokio::sync::watch;

use crate::{Client, ClientState};

impl Client {
    #[doc = daffi_core::words!(state)]
    ///
    /// ```
    /// # tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
    /// use daffi::{Client, ClientState};
    /// let client = Client::builder("early").connect_lazy("mem://nobody")?;
    /// let mut state = client.state();
    /// assert_eq!(*state.borrow(), ClientState::Connecting);
    /// tokio::spawn(async move { client.stop().await });
    /// state.wait_for(|state| matches!(state, ClientState::Ended(_))).await?;
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    #[must_use]
    pub fn state(&self) -> watch::Receiver<ClientState> {
        self.inner.state()
    }

    /// Why the last attempt to connect failed, with what is behind that; `None` while there is a
    /// connection, or before an attempt has failed. The timeout of a call that waited for a
    /// connection says it as well.
    #[must_use]
    pub fn last_failure(&self) -> Option<Arc<str>> {
        self.inner.last_failure()
    }

    /// Whether there is a connection at this moment.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.inner.is_connected()
    }
}
