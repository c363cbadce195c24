//! Files of certificates that are replaced while a listener uses them.

use std::{
    io,
    time::{Duration, Instant, SystemTime},
};

use daffi_transport::blocking;

use crate::ServerTls;

/// How long before a certificate ends it is told that it will.
const WARNING: Duration = Duration::from_secs(14 * DAY);
const DAY: u64 = 24 * 60 * 60;

/// What cannot be done with the files.
#[derive(Clone, Copy)]
enum What {
    Unusable,
    Unseen,
}

pub(crate) async fn follow_files(tls: ServerTls, every: Duration) {
    let (mut failed, mut reminder) = (Failed::default(), Reminder::default());
    loop {
        reminder.remind(&tls);
        tokio::time::sleep(every).await;
        let reading = tls.clone();
        match blocking::run(move || reading.reload()).await {
            Ok(Ok(changed)) => {
                failed = Failed::default();
                if changed {
                    let expires = tls.expiry().map(|expiry| expiry.date);
                    tracing::info!(
                        expires,
                        "the certificate's files have changed: new connections meet what they hold"
                    );
                    reminder = Reminder::default();
                }
            }
            Ok(Err(error)) => failed.tell(What::Unusable, &error),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return,
            // They are looked at again.
            Err(error) => failed.tell(What::Unseen, &error),
        }
    }
}

/// Why files could not be used the last time.
///
/// Whoever writes several files one after the other leaves a pair that does not match for a moment,
/// which is nothing to tell.
#[derive(Default)]
struct Failed {
    reason: String,
    is_told: bool,
}

impl Failed {
    fn tell(&mut self, what: What, error: &dyn std::error::Error) {
        let reason = match error.source() {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        };
        if self.reason != reason {
            *self = Self { reason, is_told: false };
        } else if !std::mem::replace(&mut self.is_told, true) {
            match what {
                What::Unusable => tracing::error!(
                    reason = self.reason,
                    "new files of the certificate cannot be used, and the old one stays"
                ),
                What::Unseen => tracing::error!(
                    reason = self.reason,
                    "the files of the certificate cannot be looked at, which is tried again"
                ),
            }
        }
    }
}

/// Tells once a day that a certificate ends.
#[derive(Default)]
struct Reminder(Option<Instant>);

impl Reminder {
    fn remind(&mut self, tls: &ServerTls) {
        let Some(expiry) = tls.expiry() else { return };
        if self.0.is_some_and(|told| told.elapsed().as_secs() < DAY) {
            return;
        }
        let left = expiry.at.duration_since(SystemTime::now()).ok();
        match left {
            Some(left) if left > WARNING => return,
            Some(left) => {
                let days = left.as_secs() / DAY;
                tracing::warn!(expires = expiry.date, days, "the certificate ends soon: put a new one into its files");
            }
            None => tracing::error!(
                expires = expiry.date,
                "the certificate has ended, and clients that verify it refuse it: put a new one into its files"
            ),
        }
        self.0 = Some(Instant::now());
    }
}
