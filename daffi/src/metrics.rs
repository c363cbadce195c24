//! What nodes counted, as Prometheus reads it (feature `metrics`): the text of their snapshots, in
//! the OpenMetrics format. Serve it with [`CONTENT_TYPE`]; the crate `daffi-admin` does.
//!
//! ```
//! # tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
//! use daffi::{Service, metrics};
//! let service = Service::builder("calc").callback_fn("double", |x: i64| async move { x * 2 });
//! let service = service.bind("mem://counted").await?;
//! let text = metrics::of_service(&service.stats());
//! assert!(text.contains(r#"rpc_server_calls_total{rpc_method="double"} 0"#) && text.ends_with("# EOF\n"));
//! # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
//! ```

mod text;

use self::text::{Text, label};
use crate::{CallbackStats, CalledStats, ClientStats, RouterStats, ServiceStats};

/// The type of what this module writes.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What a Router counted. Labels are names of callbacks that were called and that members expose,
/// at most 1 000 and then `other`, and classes of refusals.
#[must_use]
pub fn of_router(stats: &RouterStats) -> String {
    let mut text = Text::new();
    text.now("members", "Members that are connected", stats.members);
    text.now("stopped_members", "Members that give no sign of life", stats.stopped_members);
    text.now("held_back_members", "Members that are read slowly or not at all", stats.held_back_members);
    text.now("unheard_members", "Nodes that the others are told of when they are heard", stats.unheard_members);
    text.now("open_calls", "Calls that were passed on and not answered yet", stats.open_calls);
    text.now("held_requests", "Nowait requests that wait for their receiver", stats.held_requests);
    text.now("waiting_calls", "Calls that wait until somebody exposes their callback", stats.waiting_calls);
    text.bytes("held", "Memory of the budget that members make the router hold", stats.held_bytes);
    text.bytes("budget", "Memory that all members together may make the router hold", stats.budget_bytes);
    let most = |of: fn(&daffi_core::MemberStats) -> usize| stats.nodes.iter().map(of).max().unwrap_or(0);
    text.bytes("longest_queue", "Bytes that wait for the member for whom most do", most(|node| node.queued_bytes));
    text.now("most_asked", "Calls that the member may still answer of whom most are asked", most(|node| node.asked));
    text.now("most_open_calls", "Calls of the member of whom most are open", most(|node| node.open_calls));
    let takeovers = stats.nodes.iter().map(|node| node.takeovers).max().unwrap_or(0);
    text.now(
        "most_takeovers",
        "How often the name of a member passed on within a minute each time, that did so most",
        takeovers,
    );
    text.so_far("refused_calls", "Calls that were answered with an error of the router", stats.refused_calls);
    let classes = stats.refused_by_class.iter().map(|(class, count)| ([("error_type", (*class).to_owned())], *count));
    text.so_far_by("refused_calls_by_class", "The same by the class of the error", classes);
    text.so_far("unanswered_calls", "Calls that a node of daffi 3.0.1 did not answer in time", stats.unanswered_calls);
    text.so_far("dropped_requests", "Nowait requests that could not be passed on", stats.dropped_requests);
    text.so_far("dropped_replies", "Answers to calls that were not open", stats.dropped_replies);
    text.so_far("denied", "Handshakes, requests and answers that the policy refused", stats.denied);
    text.so_far("skipped_frames", "Frames of kinds without a meaning here", stats.skipped_frames);
    text.so_far("evictions", "Members whose name a newer connection took", stats.evictions);
    text.so_far("cut_connections", "Connections that the router ended", stats.cut_connections);
    callbacks(&mut text, "router", stats.callbacks.iter().map(|callback| (by_method(callback), callback)));
    text.finish()
}

/// What a Service counted. Labels are the names of its callbacks and classes of their errors, at
/// most 16 of each.
#[must_use]
pub fn of_service(stats: &ServiceStats) -> String {
    let mut text = Text::new();
    text.now("clients", "Clients that are connected", stats.clients);
    text.now("running_calls", "Calls that run or wait for their turn", stats.running);
    text.bytes("held", "Memory of the budget that clients make the service hold", stats.held_bytes);
    text.bytes("budget", "Memory that all clients together may make the service hold", stats.budget_bytes);
    text.now("held_back_clients", "Clients that are read slowly or not at all", stats.held_back_clients);
    text.bytes("longest_queue", "Bytes that wait for the client for whom most do", stats.longest_queue_bytes);
    text.so_far("refused_calls", "Requests that ran no callback", stats.refused_calls);
    text.so_far("denied", "Handshakes and requests that the policy refused", stats.denied);
    text.so_far("evictions", "Clients whose name a newer connection took", stats.evictions);
    text.so_far("cut_connections", "Connections that the service ended", stats.cut_connections);
    callbacks(&mut text, "server", stats.callbacks.iter().map(|callback| (by_method(callback), callback)));
    text.finish()
}

/// What a Client counted. Labels are the names of receivers and callbacks that it called, at most 1
/// 000 pairs and then `other`, of callbacks that it exposes, and of classes of errors, at most 16
/// of each callback.
#[must_use]
pub fn of_client(stats: &ClientStats) -> String {
    let mut text = Text::new();
    text.so_far("reconnects", "How often the connection was made anew", stats.reconnects);
    text.bytes("queued", "Bytes that wait to be sent", stats.queued_bytes);
    text.now("running_calls", "Calls of others that run or wait for their turn", stats.running);
    text.bytes("held", "Memory of the budget that others make the client hold", stats.held_bytes);
    text.bytes("budget", "Memory that all others together may make the client hold", stats.budget_bytes);
    text.so_far("refused_calls", "Requests of others that ran no callback", stats.refused_calls);
    text.so_far(
        "unsent_requests",
        "Nowait requests whose connection ended before they were sent",
        stats.unsent_requests,
    );
    let by_receiver = |called: &CalledStats| {
        let method = ("rpc_method", label(&called.callback.name));
        [method, ("peer_service", label(&called.receiver))]
    };
    callbacks(&mut text, "client", stats.called.iter().map(|called| (by_receiver(called), &called.callback)));
    callbacks(&mut text, "server", stats.callbacks.iter().map(|callback| (by_method(callback), callback)));
    text.finish()
}

fn by_method(callback: &CallbackStats) -> [(&'static str, String); 1] {
    [("rpc_method", label(&callback.name))]
}

/// Calls as one `side` of them sees them: client, server, or the router between.
fn callbacks<'a, const N: usize>(
    text: &mut Text,
    side: &str,
    all: impl Iterator<Item = ([(&'static str, String); N], &'a CallbackStats)>,
) {
    let all = text::unlike(all);
    let name = |what: &str| format!("rpc_{side}_{what}");
    let each = |of: fn(&CallbackStats) -> u64| all.iter().map(move |(labels, stats)| (labels.clone(), of(stats)));
    text.so_far_by(&name("calls"), "Calls that began", each(|stats| stats.calls));
    text.now_by(&name("open_calls"), "Calls that have not ended", each(|stats| stats.open));
    text.so_far_by(&name("errors"), "Calls that were answered with an error", each(|stats| stats.errors));
    let unanswered = "Calls that ended without an answer: given up, or an end of them left";
    text.so_far_by(&name("unanswered_calls"), unanswered, each(|stats| stats.unanswered));
    let by_class = all.iter().flat_map(|(labels, stats)| {
        stats.errors_by_class.iter().map(|(class, count)| {
            let labels: Vec<_> = labels.iter().cloned().chain([("error_type", label(class))]).collect();
            (labels, *count)
        })
    });
    text.so_far_by(&name("errors_by_class"), "The same by the class of the error", by_class);
    let times = all.iter().map(|(labels, stats)| (labels.clone(), &stats.times));
    text.durations(&name("call_duration"), "How long calls took", times);
}
