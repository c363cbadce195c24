//! The page of a router in a real browser: by keyboard, as a screen reader hears it, on a phone, in
//! the dark, with no nodes, with few and with a thousand.

use std::{collections::BTreeSet, env, fs, path::PathBuf};

use base64::{Engine, prelude::BASE64_STANDARD};
use daffi::Client;
use daffi_testing::Page;
use serde_json::{Value, json};
use tokio::task::block_in_place;

use crate::{support::Running, watched::Watched};

/// Markup, and what turns the direction of text round.
const HOSTILE: &str = "<img src=x onerror=alert(1)>\u{202e}evil\u{2066}\u{0}";
const SHOWN: &str = r"<img src=x onerror=alert(1)>\u{202e}evil\u{2066}\u{0}";

async fn worker(at: &str, name: &str) -> Client {
    Client::builder(name).callback_fn("double", |x: i64| async move { x * 2 }).connect(at).await.unwrap()
}

/// What has the focus: its words, and whether that is seen.
fn focused(page: &mut Page) -> (String, bool) {
    let seen = page
        .value("(e => document.hasFocus() && getComputedStyle(e).outlineStyle === 'solid')(document.activeElement)");
    let words = "(e => e === document.body ? '' : e.id || e.dataset.node || e.getAttribute('aria-labelledby') || e.textContent)";
    (page.text(&format!("{words}(document.activeElement)")), seen == true)
}

/// All that Tab comes to, until it comes round.
fn by_tab(page: &mut Page) -> Vec<String> {
    let mut all = Vec::new();
    page.value("window.been = new Set(); document.activeElement.blur()");
    loop {
        page.press("Tab");
        let (words, seen) = focused(page);
        let is_new = page.value("!been.has(document.activeElement) && !!been.add(document.activeElement)") == true;
        if words.is_empty() || !is_new {
            return all;
        }
        assert!(seen, "{words} has the focus, and nobody sees it");
        all.push(words);
    }
}

/// What a screen reader finds: roles with their names.
fn heard(page: &mut Page) -> BTreeSet<(String, String)> {
    let tree = page.ask("Accessibility.getFullAXTree", json!({}));
    let nodes = tree["nodes"].as_array().unwrap().iter().filter(|node| node["ignored"] != true);
    let text = |value: &Value| value["value"].as_str().unwrap_or_default().to_owned();
    nodes.map(|node| (text(&node["role"]), text(&node["name"]))).collect()
}

/// The size of the window, and whether it is dark.
fn look(page: &mut Page, width: u32, height: u32, is_dark: bool) {
    let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500 });
    page.ask("Emulation.setDeviceMetricsOverride", size);
    let colors = if is_dark { "dark" } else { "light" };
    page.ask(
        "Emulation.setEmulatedMedia",
        json!({ "features": [{ "name": "prefers-color-scheme", "value": colors }] }),
    );
}

/// Nothing is wider than the window, and text stands out from what is behind it.
fn is_readable(page: &mut Page, name: &str) {
    assert_eq!(page.value("document.documentElement.scrollWidth <= innerWidth"), true, "{name}");
    let faint = page.text(
        "(() => {
            const light = color => { const [r, g, b] = color.match(/[\\d.]+/g).map(n => n / 255)
                .map(n => n <= .04045 ? n / 12.92 : ((n + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b; };
            const behind = e => { const color = getComputedStyle(e).backgroundColor;
                return color === 'rgba(0, 0, 0, 0)' && e.parentElement ? behind(e.parentElement) : color; };
            for (const e of document.querySelectorAll('h1, h2, p, a, span, b, td, button, #state')) {
                if (!e.textContent.trim() || !e.offsetParent) continue;
                const [a, b] = [light(getComputedStyle(e).color), light(behind(e))].sort((a, b) => b - a);
                if ((a + .05) / (b + .05) < 4.5) return e.outerHTML;
            }
            return '';
        })()",
    );
    assert_eq!(faint, "", "{name}");
    // Pictures for the docs, and for whoever wants to look.
    if let Some(folder) = env::var_os("DAFFI_PICTURES") {
        let picture = page.ask("Page.captureScreenshot", json!({ "format": "png" }));
        let bytes = BASE64_STANDARD.decode(picture["data"].as_str().unwrap()).unwrap();
        fs::write(PathBuf::from(folder).join(format!("{name}.png")), bytes).unwrap();
    }
}

fn is_readable_everywhere(page: &mut Page, name: &str) {
    for (kind, width, height, is_dark) in [
        ("", 1200, 800, false),
        ("-dark", 1200, 800, true),
        ("-phone", 390, 844, false),
        ("-phone-dark", 390, 844, true),
    ] {
        look(page, width, height, is_dark);
        is_readable(page, &format!("{name}{kind}"));
    }
    look(page, 1200, 800, false);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_is_used_by_keyboard_and_heard() {
    let watched = Watched::start(&[]);
    let mut page = block_in_place(|| Page::open(&watched.page));
    block_in_place(|| {
        page.wait("document.getElementById('state').textContent === 'takes calls'");
        assert_eq!(page.text("document.getElementById('more').textContent"), "Nobody is connected.");
        is_readable_everywhere(&mut page, "nobody");
    });

    let [one, _two, hostile] =
        [worker(&watched.at, "one").await, worker(&watched.at, "two").await, worker(&watched.at, HOSTILE).await];
    hostile.wait_for_members(&["one"], None).await.unwrap();
    assert_eq!(hostile.rpc().receiver("one").call::<i64>("double", (4,)).await.unwrap(), 8);
    block_in_place(|| {
        page.wait(
            "document.querySelectorAll('#nodes-rows tr').length === 3 && document.querySelector('#callbacks-rows tr')",
        );
        is_readable_everywhere(&mut page, "three");
        let stops = by_tab(&mut page);
        let (callbacks, nodes) = ("callbacks-title", "nodes-title");
        let expected =
            ["filter", callbacks, "Callback", "Calls/s", "Errors/s", "Open", "p50", "p99", "Calls", "Errors", nodes];
        assert_eq!(stops[..expected.len()], expected);
        assert_eq!(stops[stops.len() - 3..], [HOSTILE, "one", "two"], "{stops:?}");
        let heard = heard(&mut page);
        let name = |role: &str, name: &str| (role.to_owned(), name.to_owned());
        for (role, words) in [
            ("banner", ""),
            ("main", ""),
            ("heading", "crossing"),
            ("list", "Numbers"),
            ("searchbox", "Show those with"),
            ("table", "Callbacks"),
            ("table", "3 nodes"),
            ("columnheader", "Answers/s"),
            ("rowheader", SHOWN),
            ("link", SHOWN),
            ("button", "Calls/s"),
        ] {
            assert!(heard.contains(&name(role, words)), "{role} {words}: {heard:?}");
        }
        // Names are text, whatever is in them.
        assert_eq!(page.value("document.images.length"), 0);
        assert_eq!(page.value("document.body.innerText.includes('\\u202e')"), false);
        // The order of a table, by its head.
        page.value("[...document.querySelectorAll('#nodes-head button')].find(button => button.textContent === 'Name').focus()");
        page.press("Enter");
        page.wait("document.querySelector('#nodes-head [aria-sort=descending]')?.textContent === 'Name'");
        // The focus stays while numbers change.
        page.value("document.querySelector('[data-node=one]').focus()");
        page.value("window.looks = 0; const show_it = show; show = now => { show_it(now); looks += 1; }");
        page.wait("looks > 2");
        assert_eq!(focused(&mut page), ("one".to_owned(), true));
        // To a node, and back to where one was.
        page.press("Enter");
        page.wait("document.activeElement.id === 'one-name' && document.activeElement.textContent === 'one'");
        is_readable_everywhere(&mut page, "one");
        assert_eq!(page.text("document.getElementById('one-callbacks').innerText").trim(), "double");
        page.value("window.history.back()");
        page.wait("document.activeElement.dataset.node === 'one'");
        page.value("location.hash = '#node=%E0%A4%A'");
        assert_eq!(page.value("document.getElementById('one').hidden"), true, "no node's address");
        page.value("document.getElementById('filter').value = 'tw'; draw()");
        assert_eq!(page.value("document.querySelectorAll('#nodes-rows tr').length"), 1);
    });

    // What is wrong is read aloud once, and not at each look.
    block_in_place(|| {
        page.value("window.news = []; new MutationObserver(() => news.push(document.getElementById('news').textContent)).observe(document.getElementById('news'), { childList: true })")
    });
    hostile.rpc().receiver("one").call::<i64>("double", ("four",)).await.unwrap_err();
    block_in_place(|| {
        page.wait("news.length === 1 && news[0].startsWith('double failed 1 time lately')");
        page.wait("news.length === 2 && news[1] === 'Nothing needs attention any more.'");
        let foreign: Vec<_> = page.requested().iter().filter(|to| !to.starts_with(&watched.page)).cloned().collect();
        assert_eq!(foreign, ["about:blank"; 0]);
    });
    one.stop().await;
}

/// A page stays open for weeks, and each `daffi call` joins under a name of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_forgets_nodes_that_went() {
    let watched = Watched::start(&[]);
    block_in_place(|| {
        let mut page = Page::open(&watched.page);
        page.wait("document.getElementById('state').textContent === 'takes calls'");
        let mut told = |what: &str| page.value(&format!("nodes.clear(); {what}"));
        let many =
            "for (let n = 0; n < 20000; n += 1) remember_nodes([{ name: 'cli-' + n }, { name: 'steady' }], n / 100);";
        let kept =
            told(&format!("{many} [nodes.size, nodes.has('steady'), nodes.has('cli-19999'), nodes.has('cli-0')]"));
        assert_eq!(kept, json!([2000, true, true, false]), "the ones seen last are kept");
        let later = "remember_nodes([{ name: 'late' }], 200 + HISTORY);";
        assert_eq!(told(&format!("{many} {later} [...nodes.keys()]")), json!(["late"]));
        // Who comes back is drawn with a gap, and what is older than ten minutes is not drawn.
        let back = "for (const at of [0, 1, 5, 6]) remember_nodes([{ name: 'one', asked: 1 }], at);";
        assert_eq!(told(&format!("{back} nodes.get('one').asked")), json!([1, 1, null, null, null, 1, 1]));
        assert_eq!(
            told(&format!("{back} curve(nodes.get('one').asked).firstChild.getAttribute('d').match(/M/g).length")),
            2
        );
        let ever = "for (let at = 0; at < 5000; at += 1) remember_nodes([{ name: 'one' }], at);";
        assert_eq!(told(&format!("{ever} nodes.get('one').asks.length")), 600);
        // The curves of the whole have gaps, too, while the router is away.
        let whole = "remember_whole('it', 1, 0); remember_whole('it', 2, 3)";
        assert_eq!(told(whole), json!([1, null, null, 2]));
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_nodes_are_shown() {
    let watched = Watched::start(&[]);
    let mut nodes = Vec::new();
    for number in 0..1000 {
        nodes.push(Client::builder(format!("node-{number:03}")).connect(&watched.at).await.unwrap());
    }
    block_in_place(|| {
        let mut page = Page::open(&watched.page);
        page.wait("document.getElementById('nodes-title').textContent === '1,000 nodes'");
        assert_eq!(page.value("document.querySelectorAll('#nodes-rows tr').length"), 500);
        assert!(page.text("document.getElementById('more').textContent").starts_with("500 of them are listed"));
        is_readable_everywhere(&mut page, "thousand");
        // A row that stays is not made anew.
        page.value("window.row = document.querySelector('#nodes-rows tr'); window.looks = 0; const it = show; show = now => { it(now); looks += 1; }");
        page.wait("looks > 1");
        assert_eq!(page.value("document.contains(row)"), true);
    });
    let _running: &Running = &watched.router;
}
