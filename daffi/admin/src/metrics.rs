//! What a node counted, as Prometheus reads it.

use daffi::metrics::{of_client, of_router, of_service};

use crate::snapshot::{Watched, WatchedNode};

/// The end of such a text.
const END: &str = "# EOF\n";

/// What `node` counted so far, and whether it takes calls.
pub(crate) fn text(node: &Watched) -> String {
    let text = match &node.node {
        WatchedNode::Router(router) => of_router(&router.stats()),
        WatchedNode::Service(service) => of_service(&service.stats()),
        WatchedNode::Client(client) => of_client(&client.stats()),
        WatchedNode::Group(group) => of_client(&group.stats()),
    };
    let expires = node.expires().map_or_else(String::new, |at| {
        format!(
            "# HELP daffi_certificate_expiry_timestamp_seconds When the certificate ends.\n\
             # TYPE daffi_certificate_expiry_timestamp_seconds gauge\n\
             # UNIT daffi_certificate_expiry_timestamp_seconds seconds\n\
             daffi_certificate_expiry_timestamp_seconds {at:.1}\n"
        )
    });
    let ready = u8::from(node.unready().is_none());
    format!(
        "{}{expires}# HELP daffi_ready Whether it takes calls: 0 when it stops, or lacks what it needs.\n# TYPE daffi_ready gauge\ndaffi_ready {ready}.0\n{END}",
        text.strip_suffix(END).unwrap_or(&text)
    )
}
