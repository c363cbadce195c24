//! What a call takes and gives.
#![deny(unused, warnings)]

use std::{collections::BTreeMap, future::Future};

use daffi::{CallError, Client, FormatId, args};
use futures::future::try_join_all;

/// A number that is not free would not compile.
const CBOR: FormatId = FormatId::user(64).unwrap();

fn is_static<F: Future + Send + 'static>(future: F) -> F {
    future
}

/// Futures hold neither the call style nor the arguments, and may go to another task.
fn futures(client: &Client) {
    let name = String::from("world");
    let (rpc, cast) = (client.rpc(), client.cast());
    let _sum = is_static(rpc.call::<i64>("greet", (&*name, name.as_bytes())));
    let _sum = is_static(rpc.run("greet", args![name.as_str(), data = &name.as_bytes()[..2]]));
    let _queued = is_static(client.rpc_nowait().call("greet", (&name,)));
    let _all = is_static(cast.call::<()>("greet", (name.as_str(),)));
    let _all = is_static(client.cast_nowait().call("greet", (name.as_str(),)));
    let _sent = is_static(client.stream().send("take", futures::stream::iter([1, 2])));
    let _sent = is_static(client.stream_nowait().send("take", futures::stream::iter([1, 2])));
    // Arguments need not be `Send`: they are written by then.
    let _sum = is_static(rpc.call::<i64>("greet", (std::cell::Cell::new(1),)));
    drop(name);
}

async fn calls(client: Client) -> Result<(), CallError> {
    let sums: Vec<i64> = try_join_all((0..3).map(|i| client.rpc().call("add", (i, 1)))).await?;
    let by_key: Vec<i64> = try_join_all((0..3).map(|i| client.rpc().key(i.to_string()).call("add", (i, 1)))).await?;
    let _handles: Vec<_> = (0..3).map(|i| tokio::spawn(client.rpc().call::<i64>("add", (i, 1)))).collect();

    client.rpc().call::<()>("add", (1, 2)).await?;
    client.rpc().run("add", (1, 2)).await?;
    let () = client.rpc().call("add", args![r#match = 1, type = 2]).await?;
    let _all: BTreeMap<String, Result<(), CallError>> = client.cast().call("add", (1, 2)).await?;

    let method = String::from("add");
    let _sum: i64 = client.rpc().serde(CBOR).call(&method, (sums.as_slice(), by_key)).await?;
    Ok(())
}

fn main() {
    let _ = (futures, calls);
}
