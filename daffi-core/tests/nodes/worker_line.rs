//! What waits for a worker, under layers.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
    thread,
    time::Duration,
};

use daffi_core::{CallbackOptions, CallbackService, NodeConfig, Request, Service};
use daffi_transport::mem::MemListener;
use futures::{FutureExt, future::join_all};
use tokio::sync::{Semaphore, oneshot};
use tower::{Service as _, ServiceBuilder, service_fn};

use crate::support::{asynchronous, client, endpoint, formats, hang, node, plain, plain_with};

/// Counts requests that are held.
struct Held(Arc<AtomicUsize>);

impl Held {
    fn count(of: &Arc<AtomicUsize>) -> Self {
        of.fetch_add(1, SeqCst);
        Self(Arc::clone(of))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

#[tokio::test]
async fn what_was_given_up_in_the_line_is_not_held_until_a_worker_is_free() {
    let (at, gate, held) = (endpoint(), Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&held);
    let layer = move |callbacks: CallbackService| {
        let count = move |mut request: Request| {
            request.extensions_mut().insert(Held::count(&counted));
            request
        };
        CallbackService::from_service(ServiceBuilder::new().map_request(count).service(callbacks))
    };
    let callbacks = vec![
        hang(&gate),
        plain("plain", |(): ()| Ok(())),
        plain_with("ordered", CallbackOptions::new().ordered(), |(): ()| Ok(())),
        asynchronous("async", |(): ()| async {}),
    ];
    let _service = Service::builder(node("svc"), formats())
        .config(NodeConfig::server().workers(2))
        .callbacks(callbacks)
        .layer(layer)
        .listen(vec![Box::new(MemListener::bind(&at).unwrap())])
        .unwrap();
    let client = client(&at, "c").await;
    let rpc = client.rpc();
    let is = async |number| {
        while held.load(SeqCst) != number {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let mut busy = Box::pin(async { tokio::join!(rpc.call::<u32>("hang", (1,)), rpc.call::<u32>("hang", (2,))) });
    assert!((&mut busy).now_or_never().is_none());
    is(2).await;
    for n in 0..60 {
        let mut call = Box::pin(rpc.call::<()>(["plain", "ordered", "async"][n % 3], ()));
        assert!((&mut call).now_or_never().is_none());
        is(3).await;
        drop(call);
        is(2).await;
    }
    gate.add_permits(2);
    busy.await.0.unwrap();
    for method in ["plain", "ordered", "async"] {
        rpc.call::<()>(method, ()).await.unwrap();
    }
}

/// Waits on this thread, as an executor does that knows nothing of the runtime.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unparks(thread::Thread);
    impl Wake for Unparks {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let (mut future, waker) = (pin!(future), Waker::from(Arc::new(Unparks(thread::current()))));
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        thread::park();
    }
}

/// Layers may run what is inside them where they like, also where there is no runtime.
#[tokio::test]
async fn callbacks_run_under_a_layer_with_threads_of_its_own() {
    let at = endpoint();
    let layer = |callbacks: CallbackService| {
        let elsewhere = move |request: Request| {
            let (mut callbacks, (answer, answered)) = (callbacks.clone(), oneshot::channel());
            thread::spawn(move || drop(answer.send(block_on(callbacks.call(request)))));
            async move { answered.await.expect("the thread answers") }
        };
        CallbackService::from_service(service_fn(elsewhere))
    };
    let callbacks = vec![plain("plain", |(n,): (i64,)| Ok(n)), asynchronous("async", |(n,): (i64,)| async move { n })];
    let _service = Service::builder(node("svc"), formats())
        .config(NodeConfig::server().workers(1))
        .callbacks(callbacks)
        .layer(layer)
        .listen(vec![Box::new(MemListener::bind(&at).unwrap())])
        .unwrap();
    let client = client(&at, "c").await;
    let rpc = &client.rpc();
    let calls = (0..40).map(|n| rpc.call::<i64>(["plain", "async"][n as usize % 2], (n,)));
    for (n, answer) in join_all(calls).await.into_iter().enumerate() {
        assert_eq!(answer.unwrap(), n as i64);
    }
}
