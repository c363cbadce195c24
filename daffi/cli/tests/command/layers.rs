//! Which of the file, the environment and the command line holds, and how what does not is told.

use std::os::unix::fs::PermissionsExt;

use daffi_testing::SocketPath;

use crate::support::{Ran, Running, TempFile, command, finished, run};

fn run_in(variables: &[(&str, &str)], args: &[&str]) -> Ran {
    finished(command(args).envs(variables.iter().copied()).spawn().unwrap())
}

#[test]
fn of_options_that_exclude_each_other_the_one_that_goes_before_holds() {
    const QUIET: &str = "quiet = true\n";
    const VERBOSE: &str = "verbose = 2\n";
    const ENV_QUIET: (&str, &str) = ("DAFFI_ROUTER_QUIET", "true");
    const ENV_VERBOSE: (&str, &str) = ("DAFFI_ROUTER_VERBOSE", "1");
    for (text, variables, quiet, verbose) in [
        (QUIET, &[ENV_VERBOSE][..], "false", "1"),
        (VERBOSE, &[ENV_QUIET], "true", "0"),
        (QUIET, &[], "true", "0"),
        // What is off excludes nothing.
        ("quiet = true\nverbose = 0\n", &[], "true", "0"),
        (QUIET, &[("DAFFI_ROUTER_VERBOSE", "0")], "true", "0"),
        (VERBOSE, &[("DAFFI_ROUTER_QUIET", "false")], "false", "2"),
    ] {
        let file = TempFile::new("excluding.toml", format!("listen = \"tcp://127.0.0.1:0\"\n{text}").as_bytes());
        let shown = run_in(variables, &["config", "show", file.path()]);
        for (option, value) in [("quiet", quiet), ("verbose", verbose)] {
            let line = format!("{option} = {value}  #");
            assert!(shown.answer().contains(&line), "{text:?} {variables:?}: {line} is not in {}", shown.answer());
        }
    }
    let both = TempFile::new("both.toml", b"listen = \"tcp://127.0.0.1:0\"\nquiet = true\nverbose = 1\n");
    let told = run(&["config", "check", both.path()]).failure(2).replace(both.path(), "FILE");
    assert!(told.contains("exclude each other") && told.starts_with("FILE:"), "{told}");
    let told = run_in(&[ENV_QUIET, ENV_VERBOSE], &["router", "-l", "tcp://127.0.0.1:0"]).failure(2).to_owned();
    assert!(told.starts_with("DAFFI_ROUTER_") && told.contains("exclude each other"), "{told}");
}

#[test]
fn what_the_environment_overrules_is_told() {
    let socket = SocketPath::new();
    let text = format!("listen = {:?}\ngrace = 3\nname = \"of the file\"\n", socket.endpoint());
    let file = TempFile::new("overruled.toml", text.as_bytes());
    let variables = [("DAFFI_ROUTER_LISTEN", "tcp://127.0.0.1:0"), ("DAFFI_ROUTER_GRACE", "3")];
    let checked = run_in(&variables, &["config", "check", file.path()]);
    assert_eq!(checked.code, Some(0));
    let line = format!("{}:1: listen does not hold: DAFFI_ROUTER_LISTEN goes before it", file.path());
    assert!(checked.stderr.contains(&line) && !checked.stderr.contains("grace"), "{}", checked.stderr);

    let args = ["router", "--config", file.path(), "--name", "seen"];
    let router = Running::adopt(command(&args).envs(variables).spawn().unwrap());
    let event = "an option of the file does not hold: the environment goes before it option=\"listen\" ";
    let told = router.log(event);
    assert!(told.contains("overruled.toml:1") && told.contains("by=DAFFI_ROUTER_LISTEN"), "{told}");
    router.endpoint();
    assert!(!router.told().contains("option=\\\"name"), "the command line is in sight: {}", router.told());
}

#[test]
fn permissions_of_a_file_are_those_of_the_socket() {
    for (written, mode) in [("0o660", 0o660), ("0o600", 0o600), ("0o770", 0o770), ("666", 0o666), ("\"640\"", 0o640)] {
        let socket = SocketPath::new();
        let text = format!("listen = {:?}\nmode = {written}\n", socket.endpoint());
        let file = TempFile::new("mode.toml", text.as_bytes());
        let router = Running::start(&["router", "--config", file.path()]);
        router.endpoint();
        let found = std::fs::metadata(socket.path()).unwrap().permissions().mode() & 0o777;
        assert_eq!(found, mode, "{written}: {found:o}");
    }
    // Octal numbers that something made decimal on the way.
    for written in ["432", "384", "416", "504"] {
        let file = TempFile::new("decimal.toml", format!("listen = \"unix:///tmp/x\"\nmode = {written}\n").as_bytes());
        let told = run(&["config", "check", file.path()]).failure(2).replace(file.path(), "FILE");
        assert!(told.starts_with(&format!("FILE:2: invalid value '{written}' for '--mode <MODE>'")), "{told}");
    }
}
