//! Every format in every style, in both directions, over every transport.

use daffi::{FormatId, Value};

use crate::{
    errors,
    pair::{Direction, How, Pair, Style, positional},
    results,
    support::{FORMATS, Transport},
};

/// Each cell records a text of its own at the service, which runs one callback at a time: what was recorded last tells
/// that it ran, once, and before the next.
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
                (true, _) => Value::Int(i128::try_from(expected.len()).unwrap()),
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

async fn check(direction: Direction, transport: Transport) {
    check_pair(&Pair::start(direction, transport).await).await;
}

#[tokio::test]
async fn python_calls_rust_over_tcp() {
    check(Direction::PythonCallsRust, Transport::Tcp).await;
}

#[tokio::test]
async fn python_calls_rust_over_unix_sockets() {
    check(Direction::PythonCallsRust, Transport::Unix).await;
}

#[tokio::test]
async fn python_calls_rust_over_tls() {
    check(Direction::PythonCallsRust, Transport::Tls).await;
}

#[tokio::test]
async fn asyncio_calls_rust_over_tcp() {
    check(Direction::AsyncioCallsRust, Transport::Tcp).await;
}

#[tokio::test]
async fn asyncio_calls_rust_over_unix_sockets() {
    check(Direction::AsyncioCallsRust, Transport::Unix).await;
}

#[tokio::test]
async fn rust_calls_python_over_tcp() {
    check(Direction::RustCallsPython, Transport::Tcp).await;
}

#[tokio::test]
async fn rust_calls_python_over_unix_sockets() {
    check(Direction::RustCallsPython, Transport::Unix).await;
}

#[tokio::test]
async fn rust_calls_python_over_tls() {
    check(Direction::RustCallsPython, Transport::Tls).await;
}

#[tokio::test]
async fn rust_calls_python_over_websockets() {
    check(Direction::RustCallsPython, Transport::Ws).await;
}

#[tokio::test]
async fn rust_calls_python_over_websockets_over_tls() {
    check(Direction::RustCallsPython, Transport::Wss).await;
}

#[tokio::test]
async fn rust_calls_asyncio_over_tcp() {
    check(Direction::RustCallsAsyncio, Transport::Tcp).await;
}

#[tokio::test]
async fn python_calls_a_rust_worker_through_a_router() {
    check_pair(&Pair::behind_router(Direction::PythonCallsRust).await).await;
}

#[tokio::test]
async fn asyncio_calls_a_rust_worker_through_a_router() {
    check_pair(&Pair::behind_router(Direction::AsyncioCallsRust).await).await;
}

#[tokio::test]
async fn rust_calls_a_python_worker_through_a_router() {
    check_pair(&Pair::behind_router(Direction::RustCallsPython).await).await;
}

#[tokio::test]
async fn rust_calls_an_asyncio_worker_through_a_router() {
    check_pair(&Pair::behind_router(Direction::RustCallsAsyncio).await).await;
}

#[tokio::test]
async fn python_calls_a_rust_worker_on_a_websocket_through_a_router() {
    check_pair(&Pair::behind_router_over(Direction::PythonCallsRust, Transport::Ws).await).await;
}

#[tokio::test]
async fn rust_calls_a_python_worker_over_a_websocket_through_a_router() {
    check_pair(&Pair::behind_router_over(Direction::RustCallsPython, Transport::Ws).await).await;
}
