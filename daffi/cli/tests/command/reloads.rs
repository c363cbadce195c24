//! What changes while a router runs: for connections that are open, under load, and when the router
//! is killed in the middle of it.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    time::{Duration, Instant},
};

use daffi::{CallError, Client, ClientTls};
use daffi_testing::{Authority, Certificate, Peer, SocketPath};
use serde_json::json;
use tokio::task::{JoinSet, block_in_place};

use crate::support::{Running, TempFile, run};

/// Nothing takes so long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(30);
const DAY: Duration = Duration::from_secs(86_400);

/// Puts a whole file in the place of another.
fn replace(file: &TempFile, text: &str) {
    let fresh = format!("{}.fresh", file.path());
    fs::write(&fresh, text).unwrap();
    fs::rename(&fresh, file.path()).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_policy_holds_soon_for_a_connection_that_is_open() {
    let text = |callback: &str| {
        format!(
            "listen = \"tcp://127.0.0.1:0\"\n[policy]\n[[policy.rules]]\ntitle = \"all\"\nwho = [\"addr:127.0.0.1\"]\n\
             names = [\"*\"]\nexpose = [\"*\"]\ncall = [{callback:?}]\n"
        )
    };
    let file = TempFile::new("soon.toml", text("add").as_bytes());
    let router = Running::start(&["router", "--config", file.path()]);
    let at = router.endpoint();
    let _worker = Running::worker(&at, "w1");
    let client = Client::builder("caller").connect(&at).await.unwrap();
    client.wait_for_members(&["w1"], None).await.unwrap();
    let add = || client.rpc().call::<i64>("add", (3, 4));
    assert_eq!(add().await.unwrap(), 7);
    replace(&file, &text("greet"));
    let begun = Instant::now();
    block_in_place(|| router.signal("HUP"));
    let refused = loop {
        match add().await {
            Ok(sum) => assert_eq!(sum, 7),
            Err(refused) => break refused,
        }
        assert!(begun.elapsed() < PATIENCE, "calls go on under the old policy");
    };
    println!("another policy held after {:?}", begun.elapsed());
    assert!(matches!(&refused, CallError::Remote { error, .. } if error.class == "PermissionError"), "{refused:?}");
    assert_eq!(client.rpc().call::<String>("greet", ("you",)).await.unwrap(), "Hello, you!");
    assert!(client.is_connected());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_certificates_one_after_another_cut_and_refuse_nobody_under_load() {
    let authority = Authority::new();
    let [cert, key] = ["turning.pem", "turning.key"].map(|name| TempFile::new(name, b""));
    let ca = TempFile::new("turning-ca.pem", authority.pem().as_bytes());
    authority.write(cert.path().as_ref(), key.path().as_ref(), 90 * DAY);
    let listen = ["router", "-l", "tls://127.0.0.1:0", "--tls-cert", cert.path(), "--tls-key", key.path()];
    let router = Running::start(&listen);
    let at = router.answer("tls://");
    let connect = |name: String| {
        let tls = ClientTls::ca_file(ca.path()).unwrap();
        let builder = Client::builder(name).callback_fn("double", |x: i64| async move { x * 2 }).tls(tls);
        let at = at.clone();
        async move { builder.connect(&at).await }
    };
    let (worker, caller) = (connect("worker".into()).await.unwrap(), connect("caller".into()).await.unwrap());
    caller.wait_for_members(&["worker"], None).await.unwrap();
    let answered = std::sync::Arc::new(AtomicUsize::new(0));
    let mut load = JoinSet::new();
    for _ in 0..4 {
        let (caller, answered) = (caller.clone(), answered.clone());
        load.spawn(async move {
            loop {
                assert_eq!(caller.rpc().receiver("worker").call::<i64>("double", (4,)).await.unwrap(), 8);
                answered.fetch_add(1, SeqCst);
            }
        });
    }
    for turn in 1..=100_usize {
        block_in_place(|| {
            // Between the two files a reload finds a pair that does not match, and keeps the old
            // one.
            authority.write(cert.path().as_ref(), key.path().as_ref(), 90 * DAY);
            router.signal("HUP");
        });
        let guest = connect(format!("guest-{turn}")).await.unwrap();
        assert_eq!(
            guest.rpc().receiver("worker").call::<i64>("double", (turn as i64,)).await.unwrap(),
            2 * turn as i64
        );
        block_in_place(|| {
            router.log_until(|lines| lines.iter().filter(|line| line.contains("reloaded")).count() >= turn)
        });
        guest.stop().await;
    }
    assert!(load.try_join_next().is_none(), "no call failed");
    assert!(answered.load(SeqCst) > 100);
    for client in [&worker, &caller] {
        assert_eq!((client.is_connected(), client.stats().reconnects), (true, 0));
    }
    assert!(!router.told_lines().contains("not reloaded"), "{}", router.told_lines());
}

#[test]
fn a_router_that_is_killed_while_it_reloads_starts_again() {
    let authority = Authority::new();
    let [cert, key] = ["killed.pem", "killed.key"].map(|name| TempFile::new(name, b""));
    let socket = SocketPath::new();
    let text = |grace: u64| {
        format!(
            "listen = [\"tls://127.0.0.1:0\", {:?}]\ntls-cert = {:?}\ntls-key = {:?}\ngrace = {grace}\n[policy]\n",
            socket.endpoint(),
            cert.path(),
            key.path(),
        )
    };
    authority.write(cert.path().as_ref(), key.path().as_ref(), 90 * DAY);
    let file = TempFile::new("killed.toml", text(1).as_bytes());
    for turn in 0..20 {
        let mut router = Running::start(&["router", "--config", file.path()]);
        router.answer("unix://");
        assert!(run(&["ping", &socket.endpoint()]).answer().contains("router"));
        authority.write(cert.path().as_ref(), key.path().as_ref(), 90 * DAY);
        replace(&file, &text(turn));
        router.signal("HUP");
        // Sooner or later within what a reload takes.
        let until = Instant::now() + Duration::from_micros(250 * turn);
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        router.signal("KILL");
        assert_eq!(router.end().code(), None);
    }
    let router = Running::start(&["router", "--config", file.path()]);
    router.answer("unix://");
    assert!(run(&["ping", &socket.endpoint()]).answer().contains("router"));
}

/// What SIGHUP took is told, whatever it is: who edited one thing sees that it was that which was
/// read.
#[test]
fn what_a_reload_took_is_told() {
    let token = TempFile::new("told-token", b"a-token-that-is-long-enough\n");
    let text = |listen: &str, others: &str| {
        format!("{listen}[policy]\nothers = {others:?}\n[policy.tokens]\nbatch = {:?}\n", token.path().to_owned())
    };
    let authority = Authority::new();
    let [cert, key] = ["told.pem", "told.key"].map(|name| TempFile::new(name, b""));
    authority.write(cert.path().as_ref(), key.path().as_ref(), 90 * DAY);
    let both = "listen = [\"tcp://127.0.0.1:0\", \"tls://127.0.0.1:0\"]\n";
    let tls = format!("{both}tls-cert = {:?}\ntls-key = {:?}\n", cert.path(), key.path());
    let file = TempFile::new("told.toml", text(&tls, "local").as_bytes());
    let router = Running::start(&["router", "--config", file.path()]);
    router.endpoint();
    let reloads = |told: &str| {
        router.signal("HUP");
        router.log(told);
    };
    replace(&file, &text(&tls, "everybody"));
    reloads("reloaded changed=\"the policy\"");
    fs::write(token.path(), "another-token-that-is-long-enough").unwrap();
    reloads("reloaded changed=\"tokens of the policy\"");
    reloads("reloaded changed=\"no option\"");
    authority.write(cert.path().as_ref(), key.path().as_ref(), 30 * DAY);
    reloads("reloaded changed=\"the certificate (expires 2");
    // A certificate that the file names no more goes on, so that is no change that holds.
    replace(&file, &text("listen = \"tcp://127.0.0.1:0\"\n", "everybody"));
    router.signal("HUP");
    let told = router.log("options that take effect when the router starts again");
    assert!(told.contains("tls-cert, tls-key") && told.contains("changed=\"no option\""), "{told}");
}

#[test]
fn a_new_token_of_the_page_takes_the_place_of_the_old_one() {
    const OLD: &str = "the old token of the page";
    const NEW: &str = "the new token of the page";
    let token = TempFile::new("page-token", OLD.as_bytes());
    let file = TempFile::new("page.toml", b"listen = \"tcp://127.0.0.1:0\"\n");
    let router = Running::start(&[
        "router",
        "--config",
        file.path(),
        "--admin",
        "127.0.0.1:0",
        "--admin-token-file",
        token.path(),
    ]);
    let at = router.answer("http://");
    let asks = |path: &str, token: &str| {
        let host = at.strip_prefix("http://").unwrap();
        let mut asking = TcpStream::connect(host).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n");
        asking.write_all(request.as_bytes()).unwrap();
        asking
    };
    let status = |token: &str| {
        let mut answer = String::new();
        asks("/api/node", token).read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).unwrap().to_owned()
    };
    assert_eq!((status(OLD), status(NEW)), ("200".into(), "401".into()));
    let mut following = asks("/api/live", OLD);
    following.read_exact(&mut [0; 16]).unwrap();

    fs::write(token.path(), "short").unwrap();
    router.signal("HUP");
    router.log("not reloaded, and all stays as it is reason=\"--admin-token-file: a token of 5 bytes");
    assert_eq!(status(OLD), "200");
    fs::write(token.path(), format!("{NEW}\n")).unwrap();
    router.signal("HUP");
    router.log("reloaded changed=\"the token of --admin\"");
    assert_eq!((status(OLD), status(NEW)), ("401".into(), "200".into()));
    // A page that follows by the old one is ended.
    following.read_to_end(&mut Vec::new()).unwrap();
    assert!(!router.told_lines().contains(NEW));
}

/// A file that somebody is still writing lacks what stands behind, and so does one of which a line
/// became a comment.
#[tokio::test]
async fn a_reload_opens_a_router_to_nobody() {
    let certificate = Certificate::localhost();
    let (cert, key, ca) = (&certificate.certificate, &certificate.key, &certificate.authority);
    let listen = "listen = [\"tls://127.0.0.1:0\", \"tcp://127.0.0.1:0\"]\n";
    let tls = format!("tls-cert = {cert:?}\ntls-key = {key:?}\n");
    let closed = format!("client-ca = {ca:?}\nno-pickle-from = [\"127.0.0.0/8\", \"192.0.2.0/24\"]\n");
    let file = TempFile::new("closed.toml", format!("{listen}{tls}{closed}").as_bytes());
    let router = Running::start(&["router", "--config", file.path()]);
    let (at, tcp) = (router.answer("tls://").replace("127.0.0.1", "localhost"), router.answer("tcp://"));
    let is_closed = |told: &str| {
        router.signal("HUP");
        router.log(told);
        run(&["ping", &at, "--ca", ca.to_str().unwrap()]).failure(3);
    };
    is_closed("reloaded changed=\"no option\"");
    replace(&file, &format!("{listen}{tls}no-pickle-from = [\"127.0.0.0/8\"]\n"));
    is_closed("not reloaded, and all stays as it is reason=\"client-ca is not set any more");
    replace(&file, &format!("{listen}{tls}client-ca = {ca:?}\n"));
    is_closed("not reloaded, and all stays as it is reason=\"no-pickle-from is not set any more");

    // Without certificates at all it is as it was until the next start, and what comes back is held
    // against that.
    let pickle = "no-pickle-from = [\"127.0.0.0/8\", \"192.0.2.0/24\"]\n";
    replace(&file, &format!("listen = \"tcp://127.0.0.1:0\"\n{pickle}"));
    is_closed("options=\"listen, tls-cert, tls-key, client-ca\" changed=\"no option\"");
    replace(&file, &format!("{listen}{tls}{pickle}"));
    router.signal("HUP");
    router.log_until(|lines| lines.iter().filter(|line| line.contains("client-ca is not set any more")).count() == 2);

    // What is said for other endpoints does not hold for these.
    replace(&file, &format!("listen = \"tls://127.0.0.1:0\"\n{tls}client-ca = {ca:?}\nno-pickle-from = [\"::/0\"]\n"));
    is_closed("the file has another listen, which waits for another start, and no-pickle-from beside it");
    let _worker = Running::worker(&tcp, "w1");
    let caller = Peer::client(&tcp).name("py").start().await;
    let error = caller.call("add", json!([3, 4])).serde("PICKLE").error().await;
    assert!(error.parts().2.contains("PICKLE from 127.0.0.0/8 is refused"), "{error:?}");

    // A file that is cut behind the head of its last section opens it as little.
    let policy = "[policy]\nothers = \"nobody\"\n";
    let closed = format!("{listen}{tls}client-ca = {ca:?}\nno-pickle-from = [\"::/0\", \"127.0.0.0/8\"]\n");
    replace(&file, &format!("{closed}{policy}"));
    is_closed("client-ca, no-pickle-from, the policy");
    replace(&file, &format!("{closed}[policy]\n"));
    is_closed("[policy] does not say others any more");
    replace(&file, &format!("{closed}[policy]\nothers = \"local\"\n"));
    is_closed("reloaded changed=\"the policy\"");

    // What closes it further, or is said of where it listens, holds.
    replace(
        &file,
        &format!(
            "{listen}{tls}client-ca = {ca:?}\nno-pickle-from = [\"192.0.2.0/24\"]\n[policy]\nothers = \"nobody\"\n"
        ),
    );
    is_closed("reloaded changed=\"no-pickle-from, the policy\"");
}

/// Nor by who keeps a name, or by rules that restricted somebody, without a word.
#[test]
fn names_that_are_kept_and_rules_that_are_gone_are_told() {
    let text = |names: &str, rules: &str| {
        format!("listen = \"tcp://127.0.0.1:0\"\n{names}[policy]\nothers = \"local\"\n{rules}")
    };
    let first = "name-policy = \"first\"\n";
    let rule = "[[policy.rules]]\ntitle = \"guests\"\nwho = [\"addr:127.0.0.1\"]\nnames = [\"*\"]\n";
    let file = TempFile::new("names.toml", text(first, rule).as_bytes());
    let router = Running::start(&["router", "--config", file.path()]);
    router.endpoint();
    let reloads = |text: &str, told: &str| {
        replace(&file, text);
        router.signal("HUP");
        router.log(told)
    };
    reloads(&text("", rule), "not reloaded, and all stays as it is reason=\"name-policy is not set any more");
    reloads(&text("name-policy = \"newest\"\n", rule), "reloaded changed=\"name-policy\"");
    reloads(&text("", rule), "reloaded changed=\"no option\"");
    reloads(
        &text("", ""),
        "rules of the policy are gone, and to whom they applied may do what its others may rules=\"guests\"",
    );
    router.log("reloaded changed=\"the policy\"");
}
