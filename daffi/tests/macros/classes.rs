//! `#[callback]` on `impl` blocks.

use std::sync::{Arc, Mutex};

use daffi::{Context, InitializationError, Service, args, callback};

use crate::support::{remote, serve};

struct TextProcessor {
    suffix: String,
}

#[callback]
impl TextProcessor {
    const DEFAULT_WIDTH: usize = 4;

    pub fn new(suffix: &str) -> Self {
        Self { suffix: suffix.into() }
    }

    /// In capitals.
    pub fn upper(&self, text: String) -> String {
        self.join(&text.to_uppercase())
    }

    pub async fn pad(&self, text: &str, #[default(Self::DEFAULT_WIDTH)] width: usize) -> String {
        tokio::task::yield_now().await;
        format!("{text:>width$}")
    }

    #[callback(name = "text.caller", ordered)]
    pub fn caller(&self, ctx: Context) -> String {
        self.join(ctx.caller())
    }

    pub async fn strict(self: Arc<Self>, text: String) -> Result<String, std::fmt::Error> {
        if text.is_empty() { Err(std::fmt::Error) } else { Ok(self.join(&text)) }
    }

    #[callback(blocking)]
    pub fn handle(self: Arc<Self>) -> usize {
        Arc::strong_count(&self)
    }

    #[local]
    pub fn suffix(&self) -> &str {
        &self.suffix
    }

    #[local]
    pub fn into_suffix<T: From<String>>(self) -> T {
        self.suffix.into()
    }

    pub fn _hidden(&self) {}

    pub(crate) fn join(&self, text: &str) -> String {
        format!("{text}{}", self.suffix)
    }

    #[cfg(any())]
    pub fn left_out(&self, a: NoSuchType) {}
}

#[callback]
#[cfg(any())]
impl LeftOut {
    pub fn left_out(&self) {}
}

#[tokio::test]
async fn public_methods_are_exported() {
    let (service, client) = serve(1, TextProcessor::new("!")).await;
    let rpc = client.rpc();
    assert_eq!(rpc.call::<String>("upper", ("hi",)).await.unwrap(), "HI!");
    assert_eq!(rpc.call::<String>("pad", ("hi",)).await.unwrap(), "  hi");
    assert_eq!(rpc.call::<String>("pad", args!["hi", width = 3]).await.unwrap(), " hi");
    assert_eq!(rpc.call::<String>("text.caller", ()).await.unwrap(), "client!");
    assert_eq!(rpc.call::<String>("strict", ("x",)).await.unwrap(), "x!");
    assert_eq!(remote(rpc.call::<String>("strict", ("",)).await).0, "Error");
    assert!(rpc.call::<usize>("handle", ()).await.unwrap() > 1);

    let members = client.members();
    let exposed: Vec<_> = members.get(service.name()).unwrap().methods.iter().map(AsRef::<str>::as_ref).collect();
    assert_eq!(exposed, ["upper", "pad", "text.caller", "strict", "handle"]);
}

trait Db: Send + Sync + 'static {
    fn get(&self, key: &str) -> Option<i64>;
}

impl Db for i64 {
    fn get(&self, key: &str) -> Option<i64> {
        (key == "answer").then_some(*self)
    }
}

struct Api<D> {
    db: D,
}

#[callback]
impl<D: Db> Api<D> {
    pub async fn get(&self, key: &str) -> Option<i64> {
        tokio::task::yield_now().await;
        self.db.get(key)
    }

    #[cfg_attr(all(), cfg(any()))]
    pub fn left_out(&self, a: NoSuchType) {}
}

#[tokio::test]
async fn a_generic_type_is_exported_for_each_of_its_types() {
    let (_service, client) = serve(1, Api { db: 42_i64 }).await;
    assert_eq!(client.rpc().call::<Option<i64>>("get", ("answer",)).await.unwrap(), Some(42));
}

#[test]
fn methods_stay_methods() {
    let processor = TextProcessor::new("?");
    assert_eq!(processor.upper("a".into()), "A?");
    assert_eq!(processor.suffix(), "?");
    processor._hidden();
    assert_eq!(processor.into_suffix::<String>(), "?");
}

#[derive(Default)]
struct Counter {
    value: u64,
    inside: Arc<Mutex<Inside>>,
}

/// How many methods run at once: now, and at most.
#[derive(Default)]
struct Inside {
    now: usize,
    most: usize,
}

impl Counter {
    fn enter(&self) {
        let mut inside = self.inside.lock().unwrap();
        inside.now += 1;
        inside.most = inside.most.max(inside.now);
    }

    fn leave(&self) {
        self.inside.lock().unwrap().now -= 1;
    }
}

#[callback]
impl Counter {
    /// Loses increments unless it has the counter to itself.
    pub async fn increment(&mut self, by: u64) -> u64 {
        self.enter();
        let before = self.value;
        tokio::task::yield_now().await;
        self.value = before + by;
        self.leave();
        self.value
    }

    pub fn increment_plainly(&mut self, by: u64) {
        self.enter();
        let before = self.value;
        std::thread::yield_now();
        self.value = before + by;
        self.leave();
    }

    pub fn value(&self) -> u64 {
        self.value
    }

    pub async fn value_later(&self) -> u64 {
        self.value
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutable_methods_have_the_instance_to_themselves() {
    let counter = Counter::default();
    let inside = Arc::clone(&counter.inside);
    let (_service, client) = serve(4, counter).await;

    let calls: Vec<_> = (0..100)
        .map(|index| {
            let rpc = client.rpc();
            tokio::spawn(async move {
                match index % 2 {
                    0 => rpc.call::<u64>("increment", (1,)).await.map(drop),
                    _ => rpc.call::<()>("increment_plainly", (1,)).await,
                }
            })
        })
        .collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }

    assert_eq!(client.rpc().call::<u64>("value", ()).await.unwrap(), 100);
    assert_eq!(client.rpc().call::<u64>("value_later", ()).await.unwrap(), 100);
    assert_eq!(inside.lock().unwrap().most, 1);
}

/// Plain methods wait for the lock on a thread of their own: the only thread of the runtime stays
/// free for the others.
#[tokio::test]
async fn a_runtime_thread_never_waits_for_an_instance() {
    let (_service, client) = serve(4, Counter::default()).await;
    let rpc = client.rpc();
    let mixed = (0..20).map(|_| async {
        rpc.call::<u64>("increment", (1,)).await?;
        rpc.call::<()>("increment_plainly", (1,)).await
    });
    futures::future::try_join_all(mixed).await.unwrap();
    assert_eq!(rpc.call::<u64>("value", ()).await.unwrap(), 40);
}

#[tokio::test]
async fn two_instances_of_one_type_need_names_of_their_own() {
    let builder = Service::builder("service").callbacks(Counter::default()).callbacks(Counter::default());
    let error = builder.bind("mem://macros-two-instances").await.unwrap_err();
    assert!(matches!(error, InitializationError::DuplicateCallback(name) if name == "increment"));
}
