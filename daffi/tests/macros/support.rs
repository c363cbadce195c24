use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use daffi::{CallError, Client, IntoCallbacks, Service};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A service of these callbacks and a client of it, on an endpoint of their own.
pub(crate) async fn serve(workers: usize, callbacks: impl IntoCallbacks) -> (Service, Client) {
    let endpoint = format!("mem://macros-{}", NEXT.fetch_add(1, Relaxed));
    let service = Service::builder("service").workers(workers).callbacks(callbacks).bind(&endpoint).await.unwrap();
    let client = Client::builder("client").connect(&endpoint).await.unwrap();
    (service, client)
}

/// Class and message of the error that a callback answered with.
pub(crate) fn remote<T: std::fmt::Debug>(answer: Result<T, CallError>) -> (String, String) {
    let error = answer.unwrap_err();
    let error = error.remote().expect("the callback answered");
    (error.class.clone(), error.message.clone())
}
