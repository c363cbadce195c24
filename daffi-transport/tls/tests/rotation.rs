//! Certificates that are replaced while a listener uses them.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    thread,
    time::Duration,
};

use common::{accept, chain, connect, connector, fixture, frame, listen, pinning, trusting};
use daffi_transport_tls::{ClientTls, ServerTls, TlsListener};
use parking_lot::Mutex;
use tracing::{
    Dispatch,
    subscriber::{NoSubscriber, set_default},
};

/// A folder of certificates as an orchestrator mounts them: the files are links into a folder that
/// is itself a link, which is replaced by one to another folder.
struct Mounted(PathBuf);

impl Mounted {
    fn new(test: &str, names: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{test}-{}", std::process::id()));
        let _not_there = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let mounted = Self(folder);
        mounted.replace(names, names);
        for file in ["tls.crt", "tls.key"] {
            symlink(Path::new("current").join(file), mounted.file(file)).unwrap();
        }
        mounted
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Points the link at a folder with these fixtures.
    fn replace(&self, certificate: &str, key: &str) {
        let folder = self.file(&format!("{certificate}-{key}"));
        fs::create_dir_all(&folder).unwrap();
        fs::copy(fixture(&format!("{certificate}.pem")), folder.join("tls.crt")).unwrap();
        fs::copy(fixture(&format!("{key}.key")), folder.join("tls.key")).unwrap();
        let _not_there = fs::remove_file(self.file("new"));
        symlink(&folder, self.file("new")).unwrap();
        fs::rename(self.file("new"), self.file("current")).unwrap();
    }

    fn tls(&self) -> ServerTls {
        ServerTls::from_files(self.file("tls.crt"), self.file("tls.key")).unwrap()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _left_behind = fs::remove_dir_all(&self.0);
    }
}

/// Whether a client of `host` that trusts `client` gets in.
async fn meets(listener: &mut TlsListener, host: &str, client: ClientTls) -> Result<(), String> {
    let connector = connector(listener, host, client);
    let (server, client) = tokio::join!(async { accept(listener).await.upgrade().await }, connect(&connector));
    let mut client = client.map_err(|error| chain(&error))?;
    let mut server = server.map_err(|error| chain(&error))?;
    let sent = server.receive().await.unwrap().unwrap();
    server.send(&sent).await.unwrap();
    client.receive().await.map(drop).map_err(|error| chain(&error))
}

#[tokio::test]
async fn new_connections_meet_the_new_certificate_and_open_ones_stay() {
    let mounted = Mounted::new("replaced", "localhost");
    let tls = mounted.tls();
    let mut listener = listen("127.0.0.1", tls.clone()).await;
    let connector = connector(&listener, "localhost", trusting("authority"));
    let (server, client) = tokio::join!(async { accept(&mut listener).await.upgrade().await }, connect(&connector));
    let (mut server, mut client) = (server.unwrap(), client.unwrap());
    assert!(!tls.reload().unwrap());

    mounted.replace("plain", "plain");
    assert!(tls.reload().unwrap());
    let refused = meets(&mut listener, "localhost", trusting("authority")).await.unwrap_err();
    assert!(refused.contains("certificate"), "{refused}");
    meets(&mut listener, "localhost", pinning("plain")).await.unwrap();

    assert_eq!(server.receive().await.unwrap(), Some(frame(1, 1)));
    server.send(&frame(2, 70_000)).await.unwrap();
    assert_eq!(client.receive().await.unwrap(), Some(frame(2, 70_000)));
}

#[tokio::test]
async fn what_cannot_be_used_changes_nothing() {
    let mounted = Mounted::new("unusable", "localhost");
    let tls = mounted.tls();
    let mut listener = listen("127.0.0.1", tls.clone()).await;
    let expires = tls.expires();

    mounted.replace("plain", "localhost");
    let error = chain(&tls.reload().unwrap_err());
    assert!(error.contains("does not belong to") && error.contains("tls.crt"), "{error}");
    fs::write(mounted.file("plain-localhost/tls.crt"), "").unwrap();
    assert!(chain(&tls.reload().unwrap_err()).contains("holds no certificate"));
    fs::remove_file(mounted.file("current")).unwrap();
    assert!(chain(&tls.reload().unwrap_err()).contains("cannot read"));

    assert_eq!(tls.expires(), expires);
    meets(&mut listener, "localhost", trusting("authority")).await.unwrap();
}

#[tokio::test]
async fn authorities_of_clients_are_read_anew_too() {
    let mounted = Mounted::new("authorities", "localhost");
    let ca = mounted.file("ca.crt");
    fs::copy(fixture("stranger.pem"), &ca).unwrap();
    let tls = mounted.tls().client_ca_file(&ca).unwrap();
    let mut listener = listen("127.0.0.1", tls.clone()).await;
    let client = || trusting("authority").client_certificate(fixture("client.pem"), fixture("client.key")).unwrap();
    meets(&mut listener, "localhost", client()).await.unwrap_err();

    fs::copy(fixture("authority.pem"), &ca).unwrap();
    assert!(tls.reload().unwrap());
    meets(&mut listener, "localhost", client()).await.unwrap();
    meets(&mut listener, "localhost", trusting("authority")).await.unwrap_err();
}

#[tokio::test]
async fn a_hundred_changes_refuse_nobody() {
    let mounted = Mounted::new("hundred", "localhost");
    let tls = mounted.tls();
    let mut listener = listen("127.0.0.1", tls.clone()).await;
    for change in 0..100 {
        let name = ["plain", "localhost"][change % 2];
        mounted.replace(name, name);
        assert!(tls.reload().unwrap());
        meets(&mut listener, "localhost", pinning(name)).await.unwrap();
    }
}

/// Lines that were logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    async fn says(&self, text: &str) {
        while !String::from_utf8(self.0.lock().clone()).unwrap().contains(text) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn count(&self, text: &str) -> usize {
        String::from_utf8(self.0.lock().clone()).unwrap().matches(text).count()
    }
}

#[tokio::test]
async fn files_are_followed_and_it_is_told_what_comes_of_it() {
    let log = Log::default();
    let writer = log.clone();
    // While a process has one subscriber only, the first thread to come by a line decides for all
    // threads whether anybody reads it. Other tests run on other threads, so there have to be more.
    let _others = [(); 2].map(|()| Dispatch::new(NoSubscriber::new()));
    let _logged = set_default(tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish());
    let mounted = Mounted::new("followed", "expired");
    let tls = mounted.tls();
    let mut listener = listen("127.0.0.1", tls.clone()).await;
    let following = tokio::spawn(tls.clone().follow_files(Duration::from_millis(1)));
    log.says("the certificate has ended").await;

    mounted.replace("plain", "localhost");
    log.says("cannot be used, and the old one stays reason=\"the key file").await;
    mounted.replace("localhost", "localhost");
    log.says("the certificate's files have changed").await;
    meets(&mut listener, "localhost", trusting("authority")).await.unwrap();
    following.abort();
    assert_eq!(log.count("cannot be used"), 1);
    assert_eq!(log.count("has ended"), 1);
}

/// A pipe in the place of a file is read when the test writes to it, and so holds a reload up.
#[test]
fn what_was_replaced_while_files_were_read_stays() {
    let mounted = Mounted::new("raced", "localhost");
    let (pipe, key) = (mounted.file("pipe"), fixture("localhost.key"));
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let certificate = fs::read(fixture("localhost.pem")).unwrap();
    let (writing, first) = (pipe.clone(), certificate.clone());
    let written = thread::spawn(move || fs::write(writing, first).unwrap());
    let tls = ServerTls::from_files(&pipe, &key).unwrap();
    written.join().unwrap();

    let reloading = thread::spawn({
        let tls = tls.clone();
        move || tls.reload()
    });
    // It opens when the reload does.
    let mut held = fs::OpenOptions::new().write(true).open(&pipe).unwrap();
    let closed = mounted.tls().client_ca_file(fixture("authority.pem")).unwrap();
    assert!(tls.replace_by(&closed));
    held.write_all(&[&certificate[..], b"\n"].concat()).unwrap();
    drop(held);
    assert!(!reloading.join().unwrap().unwrap(), "what is there now has not changed");
    assert!(format!("{tls:?}").contains("demands_client_certificates: true"), "{tls:?}");
    assert!(!tls.replace_by(&closed), "it is the same");
}
