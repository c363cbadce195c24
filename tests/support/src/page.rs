use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::browser::{PATIENCE, chromium, profile};

/// A page in a real Chromium that is asked and driven as its developer tools do. It ends with this
/// value.
#[derive(Debug)]
pub struct Page {
    child: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    session: Value,
    number: u64,
    requested: Vec<String>,
    profile: std::path::PathBuf,
}

impl Page {
    /// Opens a page.
    ///
    /// # Panics
    /// When there is no Chromium, or it cannot be started; the text says why.
    #[must_use]
    pub fn open(url: &str) -> Self {
        let profile = profile();
        // Chromium reads what it is asked from descriptor 3, and answers to 4.
        let mut child = Command::new("sh")
            .args(["-c", r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null"#])
            .arg(chromium())
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage"])
            .args(["--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .arg(format!("--user-data-dir={}", profile.display()))
            .arg("--remote-debugging-pipe")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("a browser cannot be started: {error}"));
        let (to, stdout) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
        let (sender, from) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).split(0).map_while(Result::ok) {
                let Ok(said) = serde_json::from_slice(&line) else { continue };
                if sender.send(said).is_err() {
                    break;
                }
            }
        });
        let mut page = Self { child, to, from, session: Value::Null, number: 0, requested: Vec::new(), profile };
        let target = page.ask("Target.createTarget", json!({ "url": "about:blank" }))["targetId"].clone();
        let attached = page.ask("Target.attachToTarget", json!({ "targetId": target, "flatten": true }));
        page.session = attached["sessionId"].clone();
        for domain in ["Page", "Runtime", "Network", "Accessibility"] {
            page.ask(&format!("{domain}.enable"), json!({}));
        }
        page.ask("Page.navigate", json!({ "url": url }));
        // An answer says no more than that the page begins to come.
        page.wait("document.readyState === 'complete' && location.href !== 'about:blank'");
        page
    }

    /// Asks the developer tools. Blocks the thread.
    ///
    /// # Panics
    /// When they refuse, or do not answer.
    pub fn ask(&mut self, method: &str, parameters: Value) -> Value {
        self.number += 1;
        let mut asked = json!({ "id": self.number, "method": method, "params": parameters });
        if !self.session.is_null() {
            asked["sessionId"] = self.session.clone();
        }
        self.to.write_all(format!("{asked}\0").as_bytes()).expect("the browser runs");
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let mut said = self.from.recv_timeout(left).unwrap_or_else(|_| panic!("no answer to {asked}"));
            if said["method"] == "Network.requestWillBeSent" {
                self.requested.extend(said["params"]["request"]["url"].as_str().map(str::to_owned));
            }
            if said["id"] == self.number {
                assert!(said["error"].is_null(), "{asked}: {said}");
                return said["result"].take();
            }
        }
    }

    /// What an expression of the page's script gives.
    ///
    /// # Panics
    /// When it throws.
    pub fn value(&mut self, expression: &str) -> Value {
        let asked = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let mut given = self.ask("Runtime.evaluate", asked);
        assert!(given["exceptionDetails"].is_null(), "{expression}: {given}");
        given["result"]["value"].take()
    }

    /// The same as text; empty when it is none.
    pub fn text(&mut self, expression: &str) -> String {
        self.value(expression).as_str().unwrap_or_default().to_owned()
    }

    /// Waits until an expression gives something that is true.
    ///
    /// # Panics
    /// When it does not; with all that the page shows.
    pub fn wait(&mut self, expression: &str) {
        let begun = Instant::now();
        while self.value(&format!("!!({expression})")) != true {
            assert!(begun.elapsed() < PATIENCE, "not {expression}: {}", self.text("document.body.innerText"));
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Presses a key that writes nothing, such as `Tab`, or Enter.
    pub fn press(&mut self, key: &str) {
        let (code, text) = match key {
            "Tab" => (9, ""),
            "Enter" => (13, "\r"),
            _ => (0, ""),
        };
        for kind in ["keyDown", "keyUp"] {
            let mut event = json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code });
            if kind == "keyDown" && !text.is_empty() {
                event["text"] = text.into();
            }
            self.ask("Input.dispatchKeyEvent", event);
        }
    }

    /// Where the page's requests went so far.
    #[must_use]
    pub fn requested(&self) -> &[String] {
        &self.requested
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _status = self.child.wait();
        crate::browser::remove(&self.profile);
    }
}
