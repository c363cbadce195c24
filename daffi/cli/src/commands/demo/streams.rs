//! Callbacks whose arguments or results come one by one.

use std::time::Duration;

use daffi::{Bytes, CallError, Context, Incoming, RemoteError, Value, callback, remote_error};
use futures::{StreamExt, TryStreamExt, stream, stream::BoxStream};
use sha2::{Digest, Sha256};

use super::{
    callbacks::{plus, time_of},
    given_up::GivenUp,
};

/// Bytes of a chunk of `blob`.
const CHUNK: usize = 64 * 1024;
/// The bytes of a blob repeat after so many, which divides no size of a chunk.
const PERIOD: u8 = 251;

/// The callbacks of a demo node that stream.
#[derive(Debug, Default)]
pub(super) struct Streams {
    given_up: GivenUp,
}

impl Streams {
    pub(super) const fn new(given_up: GivenUp) -> Self {
        Self { given_up }
    }
}

#[callback]
impl Streams {
    pub async fn count(
        &self,
        ctx: Context,
        n: i64,
        #[default(Value::from(0))] delay: Value,
    ) -> Result<BoxStream<'static, u64>, RemoteError> {
        let last: u64 = not_negative("count", n)?;
        let pause = time_of("count", &delay)?;
        let watched = self.given_up.watch(ctx);
        Ok(stream::iter(1..=last)
            .then(move |number| {
                let _as_long_as_it_counts = &watched;
                let pause = if number == 1 { Duration::ZERO } else { pause };
                async move {
                    if !pause.is_zero() {
                        tokio::time::sleep(pause).await;
                    }
                    number
                }
            })
            .boxed())
    }

    pub async fn sum(&self, ctx: Context, mut numbers: Incoming<Value>) -> Result<Value, RemoteError> {
        let watched = self.given_up.watch(ctx);
        let mut sum = Value::from(0);
        while let Some(number) = numbers.try_next().await.map_err(remote_error)? {
            sum = plus("sum", &sum, &number)?;
        }
        watched.finish();
        Ok(sum)
    }

    pub async fn shout(&self, ctx: Context, lines: Incoming<String>) -> BoxStream<'static, Result<String, CallError>> {
        let watched = self.given_up.watch(ctx);
        lines
            .map_ok(move |line| {
                let _as_long_as_it_shouts = &watched;
                line.to_uppercase()
            })
            .boxed()
    }

    pub async fn blob(&self, ctx: Context, size: i64) -> Result<BoxStream<'static, Bytes>, RemoteError> {
        let size: usize = not_negative("blob", size)?;
        let watched = self.given_up.watch(ctx);
        let pattern = Bytes::from_iter((0..PERIOD).cycle().take(CHUNK + usize::from(PERIOD)));
        let chunks = stream::iter((0..size).step_by(CHUNK)).map(move |at| {
            let _as_long_as_it_gives = &watched;
            let begin = at % usize::from(PERIOD);
            pattern.slice(begin..begin + (size - at).min(CHUNK))
        });
        Ok(chunks.boxed())
    }

    pub async fn hash(&self, ctx: Context, mut data: Incoming<Bytes>) -> Result<String, CallError> {
        let (mut hash, watched) = (Sha256::new(), self.given_up.watch(ctx));
        while let Some(piece) = data.try_next().await? {
            hash.update(piece);
        }
        watched.finish();
        Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }

    #[callback(inline)]
    pub fn cancelled(&self) -> u64 {
        self.given_up.count()
    }
}

fn not_negative<T: TryFrom<i64>>(method: &str, number: i64) -> Result<T, RemoteError> {
    T::try_from(number)
        .map_err(|_| RemoteError::new("ValueError", format!("{method}({number}): it takes a number from 0 on")))
}
