//! A system that gives the process no further thread.

use daffi_core::CallError;

use crate::support::{asynchronous, client, plain, service};

/// One on such a system: no thread has room for a stack of that size.
fn runtime_without_threads() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().thread_stack_size(1 << 46).build().unwrap()
}

#[test]
fn a_function_for_which_there_is_no_thread_is_refused_and_its_worker_goes_on() {
    runtime_without_threads().block_on(async {
        let (_service, at) = service(vec![
            plain("blocks", |(): ()| Ok(())),
            asynchronous("double", |(n,): (u32,)| async move { n * 2 }),
        ]);
        let caller = client(&at, "caller").await;
        for n in 0..3 {
            let rpc = || caller.rpc();
            let (one, other, double) = tokio::join!(
                rpc().call::<()>("blocks", ()),
                rpc().call::<()>("blocks", ()),
                rpc().call::<u32>("double", (n,)),
            );
            for refused in [one, other] {
                let Err(CallError::Overloaded { .. }) = &refused else { panic!("{refused:?}") };
                let text = refused.unwrap_err().to_string();
                assert!(text.contains("no further thread"), "{text}");
            }
            assert_eq!(double.unwrap(), 2 * n);
        }
    });
}
