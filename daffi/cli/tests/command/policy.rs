//! Who may do what at a router of the command, with nodes of daffi 3.0.1 beside it.

use std::{fs, io::Write, process::Stdio};

use daffi_testing::{Certificate, Peer, SocketPath};
use rustix::process::getuid;
use serde_json::json;

use crate::support::{Running, TempFile, command, run};

/// A router with this file, which listens on loopback and on a Unix socket. Gives the two
/// endpoints.
fn router(file: &TempFile) -> (Running, String, String) {
    let router = Running::start(&["router", "--config", file.path()]);
    let (tcp, unix) = (router.endpoint(), router.answer("unix://"));
    (router, tcp, unix)
}

#[tokio::test]
async fn a_policy_is_read_from_the_file_and_again() {
    let socket = SocketPath::new();
    let text = |policy: &str| {
        let unix = format!("unix://{}", socket.path().display());
        format!("listen = [\"tcp://127.0.0.1:0\", {unix:?}]\n{policy}")
    };
    let uid = getuid().as_raw();
    let first = format!(
        "[policy]\n[[policy.rules]]\ntitle = \"here\"\nwho = [\"uid:{uid}\"]\nnames = [\"w*\"]\nexpose = [\"*\"]\n\
         [[policy.rules]]\ntitle = \"loopback\"\nat = [\"tcp://*\"]\nnames = [\"*\"]\ncall = [\"add\"]\n"
    );
    let file = TempFile::new("policy.toml", text(&first).as_bytes());
    assert_eq!(run(&["config", "check", file.path()]).answer(), "");
    let shown = run(&["config", "show", file.path()]);
    assert!(shown.answer().ends_with(&format!("# [policy]  # {}\n", file.path())), "{}", shown.answer());
    let (router, tcp, unix) = router(&file);
    let refused = run(&["demo", "--connect", &unix, "--name", "x"]).failure(3).to_owned();
    assert!(refused.contains(r#"the rule that applies here (here) does not let you bear the name "x""#), "{refused}");
    let line = router.log("denied");
    for part in [&format!("identity=uid:{uid}"), "action=\"name\"", "listener=unix://", "name=x", "conn="] {
        assert!(line.contains(part), "{part}: {line}");
    }
    let _worker = Running::worker(&unix, "w1");
    assert_eq!(run(&["call", &tcp, "add", "3", "4"]).answer(), "7\n");
    let refused = run(&["call", &tcp, "greet", "you"]).failure(1).to_owned();
    assert!(
        refused.contains("PermissionError") && refused.contains("(loopback) does not let you call \"greet\""),
        "{refused}"
    );
    let line = router.log("action=\"call\"");
    assert!(line.contains("identity=addr:127.0.0.1") && line.contains("listener=tcp://127.0.0.1:"), "{line}");

    // A node of 3.0.1 shows the refusal as any error.
    let python = Peer::client(&tcp).name("py").start().await;
    assert_eq!(python.call("add", json!([3, 4])).serde("JSON").ok().await, 7);
    let error = python.call("greet", json!(["you"])).serde("JSON").error().await;
    assert_eq!(error.parts().0, "PermissionError");
    let error = python.call("add", json!([3, 4])).serde("PICKLE").error().await;
    assert_eq!(error.parts().0, "PermissionError", "no rule allows PICKLE");
    assert!(error.parts().2.contains("does not let you send PICKLE"), "{error:?}");
    python.call("greet", json!(["you"])).serde("JSON").style("rpc_nowait").ok().await;

    // Another policy holds for those who are there.
    fs::write(file.path(), text(&first.replace("\"add\"", "\"add\", \"greet\""))).unwrap();
    router.signal("HUP");
    router.log("reloaded");
    assert_eq!(python.call("greet", json!(["you"])).serde("JSON").ok().await, "Hello, you!");
    fs::write(file.path(), text("[policy]\nothers = \"nobdy\"\n")).unwrap();
    router.signal("HUP");
    router.log("not reloaded, and all stays as it is reason=");
    assert_eq!(python.call("greet", json!(["you"])).serde("JSON").ok().await, "Hello, you!");
    // Half a file would open the router to all.
    fs::write(file.path(), text("")).unwrap();
    router.signal("HUP");
    router.log("the file has no [policy] any more");
    assert_eq!(python.call("add", json!([3, 4])).serde("PICKLE").error().await.parts().0, "PermissionError");
    fs::write(file.path(), text("[policy]\nothers = \"nobody\"\n")).unwrap();
    router.signal("HUP");
    router.log_until(|lines| lines.iter().filter(|line| line.contains("action=\"connect\"")).count() >= 2);
    run(&["members", &tcp]).failure(3);
}

#[tokio::test]
async fn pickle_from_strangers_reaches_no_node_of_3_0_1() {
    let router = Running::start(&["router", "-l", "tcp://127.0.0.1:0", "--no-pickle-from", "127.0.0.0/8"]);
    let at = router.endpoint();
    let worker = Peer::client(&at).name("py").worker().expose(&["add", "record", "recorded"]).start().await;
    let stranger = Peer::client(&at).name("stranger").start().await;
    let call = |style: &str| stranger.call("record", json!(["pickled"])).serde("PICKLE").style(style);
    assert_eq!(call("rpc").error().await.parts().0, "PermissionError");
    drop(call("cast").outcome().await);
    call("rpc_nowait").ok().await;
    call("cast_nowait").ok().await;
    let error = stranger.stream("record", json!(["pickled"])).serde("PICKLE").error().await;
    assert_eq!(error.parts().0, "PermissionError");
    assert_eq!(stranger.call("add", json!([3, 4])).serde("JSON").ok().await, 7, "behind all of these");
    assert_eq!(stranger.call("add", json!([3, 4])).serde("MSGPACK").ok().await, 7);
    assert_eq!(worker.invoke("recorded", json!([])).await, json!([]));
    let told = router.log("PICKLE from 127.0.0.0/8 is refused (no-pickle-from)");
    assert!(told.contains("action=\"format\""), "{told}");
    let file = TempFile::new("networks.toml", b"listen = \"tcp://127.0.0.1:0\"\nno-pickle-from = [\"everybody\"]\n");
    assert!(run(&["config", "check", file.path()]).failure(2).contains("is no network"));
}

/// What is piped in can be read once.
#[test]
fn a_policy_from_a_pipe_holds() {
    let args = ["router", "--config", "/dev/stdin", "--listen", "tcp://127.0.0.1:0"];
    let mut child = command(&args).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"[policy]\nothers = \"nobody\"\n").unwrap();
    let router = Running::adopt(child);
    let refused = run(&["demo", "--connect", &router.endpoint(), "--name", "x"]).failure(3).to_owned();
    assert!(refused.contains("no rule applies"), "{refused}");
}

#[test]
fn a_router_that_strangers_reach_says_so_without_a_policy() {
    let open = Running::start(&["router", "-l", "tcp://0.0.0.0:0", "-l", "tcp://127.0.0.1:0"]);
    open.log("say who may do what in [policy] of --config FILE");
    let partly = Running::start(&["router", "-l", "tcp://0.0.0.0:0", "--no-pickle-from", "192.0.2.0/24"]);
    partly.log("from outside of --no-pickle-from also send PICKLE");
    let file = TempFile::new("guarded.toml", b"listen = [\"tcp://0.0.0.0:0\"]\n[policy]\n");
    let guarded = Running::start(&["router", "--config", file.path()]);
    assert!(run(&["ping", &guarded.endpoint().replace("0.0.0.0", "127.0.0.1")]).answer().contains("router"));
    assert!(!guarded.told_lines().contains("whoever reaches"), "{}", guarded.told_lines());
    let here = Running::router();
    run(&["ping", &here.endpoint()]);
    assert!(!here.told_lines().contains("whoever reaches"), "{}", here.told_lines());
}

#[test]
fn rules_about_certificates_that_nobody_shows_are_told() {
    let text = "listen = \"tcp://127.0.0.1:0\"\n[policy]\n[[policy.rules]]\ntitle = \"workers\"\n\
                who = [\"uri:spiffe://example/*\"]\nnames = [\"*\"]\n";
    let file = TempFile::new("idle.toml", text.as_bytes());
    let checked = run(&["config", "check", file.path()]);
    assert_eq!(checked.code, Some(0), "{checked:?}");
    assert!(checked.stderr.contains("--client-ca") && checked.stderr.contains("workers"), "{checked:?}");
    Running::start(&["router", "--config", file.path()])
        .log("rules of the policy apply to nobody rules=\"workers\" reason=\"uri:, dns: and cn: are names in");
}

#[test]
fn rules_about_endpoints_where_nobody_listens_are_told() {
    let socket = SocketPath::new();
    let text = format!(
        "listen = {:?}\n[policy]\n[[policy.rules]]\ntitle = \"away\"\nat = [\"tcp://*\"]\nnames = [\"*\"]\n",
        socket.endpoint()
    );
    let file = TempFile::new("away.toml", text.as_bytes());
    let checked = run(&["config", "check", file.path()]);
    assert_eq!(checked.code, Some(0), "{checked:?}");
    assert!(checked.stderr.contains("names nothing of what the router listens at"), "{checked:?}");
    Running::start(&["router", "--config", file.path()]).log("names nothing of what the router listens at");
}

#[test]
fn tokens_let_in_and_are_in_no_log() {
    let [right, wrong] = ["right-0123456789abcdef", "wrong-0123456789abcdef"];
    let token_file = |name, token: &str| TempFile::new(name, format!("{token}\n").as_bytes());
    let [known, shown, other] =
        [("known", right), ("shown", right), ("other", wrong)].map(|(name, token)| token_file(name, token));
    let policy = format!(
        "listen = \"tcp://127.0.0.1:0\"\n[policy]\nothers = \"nobody\"\n[policy.tokens]\nops = {:?}\n[[policy.rules]]\n\
         title = \"ops\"\nwho = [\"token:ops\"]\nnames = [\"*\"]\nexpose = [\"*\"]\ncall = [\"*\"]\n",
        known.path()
    );
    let file = TempFile::new("tokens.toml", policy.as_bytes());
    let router = Running::start(&["router", "--config", file.path(), "-vv"]);
    let at = router.endpoint();
    assert!(run(&["members", &at]).failure(3).contains("no rule applies to addr:127.0.0.1"));
    let told = run(&["members", &at, "--token-file", other.path()]).failure(3).to_owned();
    assert!(told.contains("this server does not know the token") && !told.contains(wrong), "{told}");
    let worker = Running::start(&["demo", "--connect", &at, "--name", "w1", "--token-file", shown.path(), "-vv"]);
    worker.log("connected to");
    assert_eq!(run(&["call", &at, "add", "3", "4", "--token-file", shown.path()]).answer(), "7\n");
    router.log("identity=token:ops");

    // A token that is replaced lets nobody stay.
    fs::write(known.path(), format!("{wrong}\n")).unwrap();
    router.signal("HUP");
    router.log("this token is not known");
    worker.log("does not know the token");
    assert!(run(&["ping", &at, "--token-file", other.path()]).answer().contains("router"));
    for log in [router.told_lines(), worker.told_lines()] {
        assert!(!log.contains(right) && !log.contains(wrong), "{log}");
    }
    let short = TempFile::new("short", b"secret\n");
    let told = run(&["members", &at, "--token-file", short.path()]).failure(2).to_owned();
    assert!(told.contains("a token has 6 bytes; 16 to 512 are expected") && !told.contains("secret"), "{told}");
}

#[tokio::test]
async fn a_server_of_3_0_1_gets_no_token() {
    let token = TempFile::new("for-python", b"right-0123456789abcdef\n");
    let (service, router) = (Peer::service().start().await, Peer::router().start().await);
    for at in [service.endpoint(), router.endpoint()] {
        let told = run(&["members", &at, "--token-file", token.path()]).failure(3).to_owned();
        assert!(told.contains("the token was not sent: the server speaks wire level 3"), "{told}");
    }
}

#[test]
fn nodes_are_known_by_their_certificates() {
    let Certificate { certificate, key, authority } = Certificate::localhost();
    let [named, named_key] = ["named.pem", "named.key"].map(|file| certificate.with_file_name(file));
    let [plain, plain_key] = ["client.pem", "client.key"].map(|file| certificate.with_file_name(file));
    let authorities = [&named, &authority].map(|file| fs::read_to_string(file).unwrap()).concat();
    let authorities = TempFile::new("authorities.pem", authorities.as_bytes());
    let text = format!(
        "listen = \"tls://localhost:0\"\ntls-cert = {certificate:?}\ntls-key = {key:?}\nclient-ca = {:?}\n\
         [policy]\nothers = \"nobody\"\n[[policy.rules]]\ntitle = \"workers\"\nwho = [\"uri:spiffe://example/worker/*\"]\n\
         names = [\"w*\"]\nexpose = [\"*\"]\n[[policy.rules]]\ntitle = \"callers\"\nwho = [\"dns:CLIENT\"]\nnames = [\"*\"]\n\
         call = [\"add\"]\n",
        authorities.path()
    );
    let file = TempFile::new("certified.toml", text.as_bytes());
    let router = Running::start(&["router", "--config", file.path()]);
    let at = router.answer("tls://");
    let as_node = |certificate: &std::path::Path, key: &std::path::Path, args: &[&str]| {
        let shown = ["--ca", authority.to_str().unwrap(), "--client-cert", certificate.to_str().unwrap()];
        let all = [args, &shown, &["--client-key", key.to_str().unwrap()]].concat();
        all.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let run_as = |certificate, key, args: &[&str]| {
        let args = as_node(certificate, key, args);
        run(&args.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let worker = as_node(&named, &named_key, &["demo", "--connect", &at, "--name", "w1"]);
    let worker = Running::start(&worker.iter().map(String::as_str).collect::<Vec<_>>());
    worker.log("connected to");
    assert_eq!(run_as(&plain, &plain_key, &["call", &at, "add", "3", "4"]).answer(), "7\n");
    assert!(
        run_as(&plain, &plain_key, &["call", &at, "greet", "you"]).failure(1).contains("(callers) does not let you")
    );
    router.log("identity=dns:client");
    let refused = run_as(&named, &named_key, &["call", &at, "add", "3", "4", "--name", "w2"]).failure(1).to_owned();
    assert!(refused.contains("(workers) does not let you call"), "{refused}");
    router.log("identity=uri:spiffe://example/worker/1");
    run_as(&plain, &plain_key, &["demo", "--connect", &at, "--name", "x"]).failure(3);
}

#[tokio::test]
async fn nodes_of_3_0_1_may_not_bear_expose_or_answer_what_no_rule_allows() {
    let policy = "listen = \"tcp://127.0.0.1:0\"\n[policy]\nothers = \"nobody\"\n[[policy.rules]]\ntitle = \"python\"\n\
                  who = [\"addr:127.0.0.1\"]\nnames = [\"py*\"]\nexpose = [\"add\", \"echo\"]\ncall = [\"*\"]\n\
                  formats = [\"json\", \"msgpack\"]\n";
    let file = TempFile::new("python.toml", policy.as_bytes());
    let router = Running::start(&["router", "--config", file.path()]);
    let at = router.endpoint();
    let refused = Peer::client(&at).name("other").try_start().await.err().unwrap();
    assert!(refused.message.contains("(python) does not let you bear the name"), "{refused}");
    let refused = Peer::client(&at).name("py").worker().expose(&["add", "whoami"]).try_start().await.err().unwrap();
    assert!(refused.message.contains("expose a callback"), "{refused}");
    let worker = Peer::client(&at).name("py-worker").worker().expose(&["add", "echo"]).start().await;
    let caller = Peer::client(&at).name("py-caller").start().await;
    for format in ["JSON", "MSGPACK"] {
        assert_eq!(caller.call("add", json!([3, 4])).serde(format).ok().await, 7);
    }
    for style in ["rpc", "cast"] {
        let refused = caller.call("add", json!([3, 4])).serde("PICKLE").style(style).outcome().await;
        assert!(format!("{refused:?}").contains("PermissionError"), "{style}: {refused:?}");
    }
    assert!(worker.exit_status().is_none());
}
