//! A router that may open few files.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
};

use crate::support::{Running, command_of_few_files, in_shell, run};

const HERE: &str = "tcp://127.0.0.1:0";

fn of_few_files(most: u32, args: &[&str]) -> Running {
    Running::adopt(command_of_few_files(most, &[&["router", "-l", HERE][..], args].concat()).spawn().unwrap())
}

/// Those who connect and say nothing.
fn silent(router: &Running, count: usize) -> Vec<TcpStream> {
    let at = router.endpoint().replace("tcp://", "");
    (0..count).map(|_| TcpStream::connect(&at).unwrap()).collect()
}

#[test]
fn more_connections_than_files_are_warned_of() {
    let router = Running::start(&["router", "-l", HERE, "--max-connections", "1000000000"]);
    assert!(router.log("LimitNOFILE=").contains("max_connections=1000000000"));
}

#[test]
fn silent_connections_keep_nobody_out_and_no_probe() {
    let router = of_few_files(40, &["--admin", "127.0.0.1:0"]);
    let (at, admin) = (router.endpoint(), router.answer("http://").replace("http://", ""));
    let _silent = silent(&router, 100);
    let _worker = Running::worker(&at, "w");
    for _ in 0..5 {
        let _more = silent(&router, 30);
        assert_eq!(run(&["call", &at, "add", "3", "4"]).answer(), "7\n");
        let mut probe = TcpStream::connect(&admin).unwrap();
        probe.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut answer = String::new();
        probe.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    let lines = router.told_lines();
    assert!(!lines.contains("cannot accept connections"), "some files are left to all else: {lines}");
}

/// Where something else took the descriptors that are left free. A pipe that it inherits counts.
#[test]
fn without_a_single_file_left_silent_ones_give_way_all_the_same() {
    let script = r#"ulimit -n 32; exec "$0" "$@" 3<&0 4<&0 5<&0 6<&0 7<&0 8<&0 9<&0"#;
    let router = Running::adopt(in_shell(script, &["router", "-l", HERE]).spawn().unwrap());
    let at = router.endpoint();
    let _silent = silent(&router, 60);
    assert!(router.log("cannot accept connections").contains("raise `ulimit -n`"));
    let _worker = Running::worker(&at, "w");
    assert_eq!(run(&["call", &at, "add", "3", "4"]).answer(), "7\n");
    // What goes on is told ever more seldom.
    let lines = router.told_lines();
    assert!(lines.matches("cannot accept connections").count() < 8, "{lines}");
}

/// All who are in are members: one more hears so, and does not wait for ever.
#[test]
fn a_router_without_room_turns_newcomers_away_and_says_what_to_raise() {
    let router = of_few_files(32, &[]);
    let at = router.endpoint();
    let _members: Vec<_> = (0..16).map(|n| Running::worker(&at, &format!("w{n}"))).collect();
    let ran = run(&["call", &at, "add", "3", "4"]);
    assert!(ran.failure(3).contains("closed the connection"), "{ran:?}");
    assert!(router.log("no more files may be open").contains("raise `ulimit -n`"));
}

#[test]
fn a_router_lets_itself_open_what_its_user_may() {
    let shell = in_shell(r#"ulimit -Sn 64; exec "$0" "$@""#, &["router", "-l", HERE]).spawn();
    let router = Running::adopt(shell.unwrap());
    router.endpoint();
    let limits = fs::read_to_string(format!("/proc/{}/limits", router.pid())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let mut words = line.split_whitespace().skip(3);
    assert_eq!(words.next(), words.next(), "{line}");
}
