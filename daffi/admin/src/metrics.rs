//! What a node counted, as Prometheus reads it.

use daffi::metrics::{of_client, of_router, of_service};

use crate::snapshot::Watched;

/// The end of such a text.
const END: &str = "# EOF\n";

/// What `node` counted so far, and whether it takes calls.
pub(crate) fn text(node: &Watched) -> String {
    let text = match node {
        Watched::Router(router) => of_router(&router.stats()),
        Watched::Service(service) => of_service(&service.stats()),
        Watched::Client(client) => of_client(&client.stats()),
    };
    let ready = u8::from(node.is_ready());
    format!(
        "{}# HELP daffi_ready Whether it takes calls: 0 when it stops.\n# TYPE daffi_ready gauge\ndaffi_ready {ready}.0\n{END}",
        text.strip_suffix(END).unwrap_or(&text)
    )
}
