//! Answers over HTTP, as who asks gets them.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::{Duration, SystemTime},
};

use daffi::{Client, Router, Service};
use daffi_admin::{Admin, AdminError};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const TOKEN: &str = "a token of some length";

async fn send(to: SocketAddr, path: &str, headers: &str) -> TcpStream {
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\n{headers}\r\n").as_bytes()).await.unwrap();
    stream
}

/// The status and the rest of the answer.
async fn ask_with(to: SocketAddr, path: &str, headers: &str) -> (u16, String) {
    let mut answer = String::new();
    send(to, path, headers).await.read_to_string(&mut answer).await.unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer)
}

async fn ask(to: SocketAddr, path: &str) -> (u16, String) {
    ask_with(to, path, &format!("Host: {to}\r\n")).await
}

fn json(answer: &str) -> Value {
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

async fn router() -> (Router, Admin) {
    let router = Router::builder("crossing").bind("tcp://127.0.0.1:0").await.unwrap();
    let admin = Admin::of_router(&router).bind("127.0.0.1:0").await.unwrap();
    (router, admin)
}

#[tokio::test]
async fn a_router_is_told_of_until_it_stops() {
    let (router, admin) = router().await;
    let at = router.endpoints()[0].as_str();
    let name = "w<script>\u{202e}";
    let worker = Client::builder(name).callback_fn("double", |x: i64| async move { x * 2 }).connect(at).await.unwrap();
    let caller = Client::builder("caller").connect(at).await.unwrap();
    caller.wait_for_members(&[name], None).await.unwrap();
    assert_eq!(caller.rpc().call::<i64>("double", (4,)).await.unwrap(), 8);
    caller.rpc().call::<i64>("double", ("four",)).await.unwrap_err();
    caller.rpc().call::<i64>("nothing", ()).await.unwrap_err();
    caller.rpc().receiver(name).call::<i64>("nothing", ()).await.unwrap_err();

    let (to, ok) = (admin.local_addr(), |answer: (u16, String)| {
        assert_eq!(answer.0, 200, "{}", answer.1);
        answer.1
    });
    assert!(ok(ask(to, "/livez").await).ends_with("ok\n"));
    assert!(ok(ask(to, "/readyz").await).ends_with("ok\n"));
    let node = json(&ok(ask(to, "/api/node").await));
    assert_eq!((&node["kind"], &node["name"], &node["members"]), (&"router".into(), &"crossing".into(), &2.into()));
    let listed = node["listed"].as_array().unwrap();
    let listed = listed.iter().find(|member| member["name"] == name).unwrap();
    assert_eq!((&listed["level"], &listed["some_callbacks"][0]), (&4.into(), &"double".into()));
    assert!(listed["address"].as_str().unwrap().starts_with("tcp://127.0.0.1:"), "{listed}");
    assert_eq!((&listed["answers"], &listed["errors"]), (&2.into(), &1.into()));
    let callback = &node["callbacks"][0];
    assert_eq!((&callback["name"], &callback["calls"], &callback["errors"]), (&"double".into(), &2.into(), &1.into()));
    assert!(callback["times"]["total"].as_f64().unwrap() > 0.0 && callback["times"]["buckets"][0][1].is_u64());
    let metrics = ok(ask(to, "/metrics").await);
    for line in [
        r#"rpc_router_calls_total{rpc_method="double"} 2"#,
        r#"rpc_router_errors_total{rpc_method="double"} 1"#,
        r#"rpc_router_call_duration_seconds_bucket{le="+Inf",rpc_method="double"} 2"#,
        "daffi_ready 1.0",
        "daffi_members 2.0",
        "daffi_held_back_members 0.0",
        "daffi_unheard_members 0.0",
        "daffi_held_bytes 0.0",
        "daffi_build_info{version=",
        "# EOF",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    assert!(!metrics.contains("script"), "{metrics}");
    let page = ok(ask(to, "/").await);
    assert!(
        page.contains("content-security-policy: default-src 'none'; connect-src 'self'; script-src 'sha256-"),
        "{page}"
    );
    assert!(!page.contains("crossing"));

    let mut live = send(to, "/api/live", &format!("Host: {to}\r\n")).await;
    let (mut told, mut some) = (String::new(), [0; 4096]);
    while told.matches("data: {").count() < 2 {
        let read = live.read(&mut some).await.unwrap();
        assert!(read > 0, "{told}");
        told.push_str(std::str::from_utf8(&some[..read]).unwrap());
    }
    worker.stop().await;
    caller.stop().await;
    router.stop().await;
    assert_eq!(ask(to, "/readyz").await.0, 503);
    assert_eq!(ask(to, "/livez").await.0, 200);
    drop(admin);
    while TcpStream::connect(to).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_service_is_told_of_too() {
    let service = Service::builder("calc").bind("tcp://127.0.0.1:0").await.unwrap();
    let admin = Admin::of_service(&service).bind("127.0.0.1:0").await.unwrap();
    let client = Client::builder("cli").connect(service.endpoints()[0].as_str()).await.unwrap();
    client.rpc().call::<i64>("nothing", ()).await.unwrap_err();
    let node = json(&ask(admin.local_addr(), "/api/node").await.1);
    assert_eq!((&node["kind"], &node["numbers"]["clients"]), (&"service".into(), &1.into()));
    assert_eq!(node["listed"][0]["name"], "cli");
    let metrics = ask(admin.local_addr(), "/metrics").await.1;
    for line in ["daffi_clients 1.0", "daffi_held_back_clients 0.0", "daffi_denied_total 0", "daffi_budget_bytes 2"] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    client.stop().await;
}

#[tokio::test]
async fn others_are_kept_out() {
    let (router, admin) = router().await;
    let to = admin.local_addr();
    for path in ["/", "/metrics", "/api/node", "/api/live", "/livez"] {
        assert_eq!(ask_with(to, path, "Host: evil.example\r\n").await.0, 403, "{path}");
        let foreign = format!("Host: {to}\r\nOrigin: http://evil.example\r\n");
        assert_eq!(ask_with(to, path, &foreign).await.0, 403, "{path}");
    }
    let own = format!("Host: {to}\r\n");
    assert_eq!(ask_with(to, "http://evil.example/livez", &own).await.0, 403, "a whole URL names the host");
    assert_eq!(ask_with(to, &format!("http://{to}/livez"), "Host: evil.example\r\n").await.0, 200);
    assert_eq!(ask(to, "/nothing").await.0, 404);

    let closed = Admin::of_router(&router).token(TOKEN).host("ops.example").bind("127.0.0.1:0").await.unwrap();
    let to = closed.local_addr();
    for path in ["/metrics", "/api/node", "/api/live"] {
        let (status, answer) = ask(to, path).await;
        assert!(status == 401 && answer.contains("www-authenticate: Bearer"), "{path}: {answer}");
    }
    for path in ["/", "/livez", "/readyz"] {
        assert_eq!(ask(to, path).await.0, 200, "{path}");
    }
    let shown = format!("Host: ops.example\r\nAuthorization: Bearer {TOKEN}\r\n");
    assert_eq!(ask_with(to, "/metrics", &shown).await.0, 200);
}

#[tokio::test]
async fn a_worker_of_several_routers_is_told_of_as_one() {
    let routers = [router().await, router().await];
    let at: Vec<_> = routers.iter().map(|(router, _)| router.endpoints()[0].to_string()).collect();
    let builder = Client::builder("worker").callback_fn("double", |x: i64| async move { x * 2 });
    let group = builder.connect_all(at.iter().map(String::as_str)).await.unwrap();
    for client in group.clients() {
        client.wait_for_connection().await.unwrap();
    }
    for at in &at {
        let caller = Client::builder("caller").callback_fn("half", |x: i64| async move { x / 2 });
        let caller = caller.connect(at).await.unwrap();
        caller.wait_for_members(&["worker"], None).await.unwrap();
        assert_eq!(caller.rpc().call::<i64>("double", (4,)).await.unwrap(), 8);
        let here = group.clients().find(|client| client.endpoint().as_str() == at).unwrap();
        here.wait_for_members(&["caller"], None).await.unwrap();
        assert_eq!(here.rpc().receiver("caller").call::<i64>("half", (4,)).await.unwrap(), 2);
        caller.stop().await;
    }
    let admin = Admin::of_group(&group).bind("127.0.0.1:0").await.unwrap();
    let to = admin.local_addr();
    let node = json(&ask(to, "/api/node").await.1);
    assert_eq!((&node["kind"], &node["name"], &node["ready"]), (&"client".into(), &"worker".into(), &true.into()));
    assert_eq!((&node["callbacks"][0]["name"], &node["callbacks"][0]["calls"]), (&"double".into(), &2.into()));
    let called = node["called"].as_array().unwrap();
    assert_eq!((called.len(), &called[0]["calls"]), (1, &2.into()), "both servers count together: {node}");
    assert_eq!(node["endpoints"].as_array().unwrap().len(), 2);

    // One of its servers is gone: it takes calls through the other, and tells.
    routers[0].0.stop().await;
    while json(&ask(to, "/api/node").await.1).get("unconnected").is_none() {
        tokio::task::yield_now().await;
    }
    assert_eq!(json(&ask(to, "/api/node").await.1)["unconnected"][0], at[0]);
    assert_eq!(ask(to, "/readyz").await.0, 200);
    routers[1].0.stop().await;
    while ask(to, "/readyz").await.0 == 200 {
        tokio::task::yield_now().await;
    }
    assert!(ask(to, "/readyz").await.1.ends_with("it is connected to none of its servers\n"));
    group.stop().await;
}

#[tokio::test]
async fn what_a_node_lacks_is_told() {
    let router = Router::builder("crossing").bind("tcp://127.0.0.1:0").await.unwrap();
    let lacks = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&lacks);
    let needs = move || if asked.load(SeqCst) { Err("it has no disk".to_owned()) } else { Ok(()) };
    let admin = Admin::of_router(&router).needs(needs).bind("127.0.0.1:0").await.unwrap();
    let to = admin.local_addr();
    assert_eq!(ask(to, "/readyz").await.0, 200);
    lacks.store(true, SeqCst);
    let (status, text) = ask(to, "/readyz").await;
    assert!(status == 503 && text.ends_with("it has no disk\n"), "{text}");
    assert_eq!(json(&ask(to, "/api/node").await.1)["unready"], "it has no disk");
    assert!(ask(to, "/metrics").await.1.contains("daffi_ready 0.0"));
}

#[tokio::test]
async fn a_certificate_that_ends_soon_is_told() {
    let router = Router::builder("crossing").bind("tcp://127.0.0.1:0").await.unwrap();
    let ends = SystemTime::now() + Duration::from_secs(3 * 86_400);
    let admin = Admin::of_router(&router).certificate(move || Some(ends)).bind("127.0.0.1:0").await.unwrap();
    let node = json(&ask(admin.local_addr(), "/api/node").await.1);
    assert!((node["certificate_days"].as_f64().unwrap() - 3.0).abs() < 0.1, "{node}");
    let at = ends.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();
    let line = format!("daffi_certificate_expiry_timestamp_seconds {at:.1}");
    assert!(ask(admin.local_addr(), "/metrics").await.1.contains(&line));
}

#[tokio::test]
async fn what_would_be_open_to_all_is_refused() {
    let router = Router::builder("crossing").bind("tcp://127.0.0.1:0").await.unwrap();
    let open = Admin::of_router(&router).bind("0.0.0.0:0").await.unwrap_err();
    assert!(matches!(open, AdminError::NoToken { .. }), "{open}");
    let short = Admin::of_router(&router).token("secret").bind("127.0.0.1:0").await.unwrap_err();
    assert!(matches!(short, AdminError::ShortToken { length: 6 }), "{short}");
    for token in ["a token of\ntwo lines", " a token of some length", "a token of some length\n"] {
        let unusable = Admin::of_router(&router).token(token).bind("127.0.0.1:0").await.unwrap_err();
        assert!(matches!(unusable, AdminError::UnusableToken), "{unusable}");
    }
    let host = Admin::of_router(&router).host("http://ops.example").bind("127.0.0.1:0").await.unwrap_err();
    assert!(matches!(host, AdminError::Host { .. }), "{host}");
    assert!(Admin::of_router(&router).token(TOKEN).bind("0.0.0.0:0").await.is_ok());
    let taken = Admin::of_router(&router).bind("127.0.0.1:0").await.unwrap();
    let again = Admin::of_router(&router).bind(&taken.local_addr().to_string()).await.unwrap_err();
    assert!(matches!(again, AdminError::Bind { .. }), "{again}");
}

#[tokio::test]
async fn who_says_nothing_keeps_nobody_out() {
    let (_router, admin) = router().await;
    let to = admin.local_addr();
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(TcpStream::connect(to).await.unwrap());
    }
    for _ in 0..3 {
        assert_eq!(ask(to, "/livez").await.0, 200);
    }
    // The first of them made room.
    assert_eq!(silent[0].read(&mut [0; 1]).await.unwrap_or(0), 0);
}
