//! A process that may open no more files. Alone in its program, for the limit is that of all tests
//! in it.
#![cfg(all(unix, feature = "blocking", feature = "tcp"))]

use daffi::{Client, InitializationError};
use rustix::process::{Resource, Rlimit, setrlimit};

#[test]
fn a_blocking_client_that_gets_no_files_says_so() {
    let few = Rlimit { current: Some(9), maximum: Some(9) };
    setrlimit(Resource::Nofile, few).unwrap();
    // However many are left.
    let mut open = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        open.push(file);
    }
    assert!(!open.is_empty());
    while open.pop().is_some() {
        let error = Client::builder("c").connect_blocking("tcp://127.0.0.1:1").unwrap_err();
        match &error {
            InitializationError::Thread(_) => {
                let text = error.to_string();
                assert!(text.contains("Too many open files") && text.contains("raise the limit"), "{text}");
            }
            InitializationError::Connect(_) => {}
            _ => panic!("{error}"),
        }
    }
}
