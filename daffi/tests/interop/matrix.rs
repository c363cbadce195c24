//! Every format in every style, between all pairs of libraries, over every transport and behind
//! routers of both.

use daffi::{FormatId, Value};

use crate::{
    errors,
    pair::{How, Library, Pair, Style, positional},
    results,
    routers::RouterKind,
    support::{FORMATS, Transport},
};

/// Each cell records a text of its own at the service, which runs one callback at a time: what was
/// recorded last tells that it ran, once, and before the next.
async fn styles(pair: &Pair) {
    pair.ok(How::PLAIN, "reset", positional([(); 0])).await;
    let mut expected = Vec::new();
    for format in FORMATS {
        for style in Style::ALL {
            let how = How { style, format: Some(format) };
            let text = format!("{how} ☃");
            let result = pair.ok(how, "record", positional([text.as_str()])).await;
            expected.push(Value::from(text));
            let count = match (style.gives_results(), format) {
                (false, _) => Value::Null,
                (true, FormatId::OPAQUE) => Value::from(expected.len().to_string()),
                (true, _) => Value::from(expected.len()),
            };
            assert_eq!(result, count, "{pair}: {how}");
            let recorded = pair.ok(How::PLAIN, "recorded", positional([(); 0])).await;
            assert_eq!(recorded.as_items().unwrap(), expected, "{pair}: {how}");
        }
    }
}

async fn check_pair(pair: &Pair) {
    styles(pair).await;
    results::check(pair).await;
    errors::check(pair).await;
}

async fn check(caller: Library, callee: Library, transport: Transport) {
    check_pair(&Pair::start(caller, callee, transport).await).await;
}

async fn check_behind(router: RouterKind, caller: Library, callee: Library) {
    check_pair(&Pair::behind(router, caller, callee).await).await;
}

/// One test for each cell.
macro_rules! cells {
    ($($name:ident = $check:ident($($of:ident),*)),* $(,)?) => {
        $(#[tokio::test] async fn $name() { $check($($of),*).await; })*
    };
}

mod direct {
    use super::check;
    use crate::{
        pair::Library::{Asyncio, Python, Rust},
        support::Transport::{Tcp, Tls, Unix},
    };

    cells! {
        python_calls_rust_over_tcp = check(Python, Rust, Tcp),
        python_calls_rust_over_unix_sockets = check(Python, Rust, Unix),
        python_calls_rust_over_tls = check(Python, Rust, Tls),
        asyncio_calls_rust_over_tcp = check(Asyncio, Rust, Tcp),
        asyncio_calls_rust_over_unix_sockets = check(Asyncio, Rust, Unix),
        rust_calls_python_over_tcp = check(Rust, Python, Tcp),
        rust_calls_python_over_unix_sockets = check(Rust, Python, Unix),
        rust_calls_python_over_tls = check(Rust, Python, Tls),
        rust_calls_asyncio_over_tcp = check(Rust, Asyncio, Tcp),
    }
}

mod behind_a_python_router {
    use super::check_behind;
    use crate::{
        pair::Library::{Asyncio, Python as PythonNode, Rust},
        routers::RouterKind::Python,
    };

    cells! {
        python_calls_rust = check_behind(Python, PythonNode, Rust),
        asyncio_calls_rust = check_behind(Python, Asyncio, Rust),
        rust_calls_python = check_behind(Python, Rust, PythonNode),
        rust_calls_asyncio = check_behind(Python, Rust, Asyncio),
        rust_calls_rust = check_behind(Python, Rust, Rust),
    }
}

mod behind_a_rust_router {
    use super::check_behind;
    use crate::{
        pair::Library::{Asyncio, Python, Rust as RustNode},
        routers::RouterKind::Rust,
    };

    cells! {
        python_calls_rust = check_behind(Rust, Python, RustNode),
        python_calls_python = check_behind(Rust, Python, Python),
        python_calls_asyncio = check_behind(Rust, Python, Asyncio),
        asyncio_calls_rust = check_behind(Rust, Asyncio, RustNode),
        asyncio_calls_python = check_behind(Rust, Asyncio, Python),
        rust_calls_python = check_behind(Rust, RustNode, Python),
        rust_calls_asyncio = check_behind(Rust, RustNode, Asyncio),
        rust_calls_rust = check_behind(Rust, RustNode, RustNode),
    }
}

mod over_websockets {
    use super::{check, check_pair};
    use crate::{
        pair::{
            Library::{Python, Rust},
            Pair,
        },
        routers::RouterKind,
        support::Transport::{Ws, Wss},
    };

    cells! {
        rust_calls_python = check(Rust, Python, Ws),
        rust_calls_python_over_tls = check(Rust, Python, Wss),
        rust_calls_rust = check(Rust, Rust, Ws),
    }

    #[tokio::test]
    async fn behind_routers() {
        for router in [RouterKind::Python, RouterKind::Rust] {
            check_pair(&Pair::behind_over(router, Python, Rust, Ws).await).await;
            check_pair(&Pair::behind_over(router, Rust, Python, Ws).await).await;
        }
    }
}
