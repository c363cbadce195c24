//! What each path answers.

use std::{convert::Infallible, net::IpAddr, sync::Arc, time::Instant};

use axum::{
    Json, Router as Routes,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::get,
};
use futures::{StreamExt, stream};

use crate::{guard::Guard, metrics, page, server::Live, snapshot::Watched};

/// What answers share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) node: Watched,
    pub(crate) guard: Arc<Guard>,
    pub(crate) live: Live,
    pub(crate) since: Instant,
}

/// The address of this machine that a request came to.
#[derive(Clone, Copy)]
pub(crate) struct Local(pub(crate) IpAddr);

/// Where a page follows what the node does.
pub(crate) const LIVE: &str = "/api/live";

/// All paths.
pub(crate) fn routes(shared: Shared) -> Routes {
    let told = Routes::new()
        .route("/", get(page))
        .route("/metrics", get(metrics))
        .route("/api/node", get(node))
        .route(LIVE, get(live))
        .route_layer(from_fn_with_state(Arc::clone(&shared.guard), token));
    Routes::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .merge(told)
        .layer(from_fn_with_state(Arc::clone(&shared.guard), host))
        .layer(from_fn(careful))
        .with_state(shared)
}

async fn host(State(guard): State<Arc<Guard>>, mut request: Request, next: Next) -> Response {
    // Who asks for a whole URL names the host there, whatever else it says (RFC 9112, 3.2.2).
    let named = request.uri().authority().and_then(|named| header::HeaderValue::from_str(named.as_str()).ok());
    if let Some(named) = named {
        request.headers_mut().insert(header::HOST, named);
    }
    let local = request.extensions().get::<Local>().map_or(IpAddr::from([127, 0, 0, 1]), |local| local.0);
    match guard.check_host(request.headers(), local) {
        Ok(()) => next.run(request).await,
        Err(refused) => refused.into_response(),
    }
}

async fn token(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    // The page itself tells nothing; it asks its reader for the token.
    if request.uri().path() == "/" {
        return next.run(request).await;
    }
    match guard.check_token(request.headers()) {
        Ok(()) => next.run(request).await,
        Err((status, text)) => (status, [(header::WWW_AUTHENTICATE, "Bearer")], text).into_response(),
    }
}

/// Lets browsers guess nothing and keep nothing.
async fn careful(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let fixed = |text| header::HeaderValue::from_static(text);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, fixed("nosniff"));
    headers.insert(header::REFERRER_POLICY, fixed("no-referrer"));
    headers.insert(header::CACHE_CONTROL, fixed("no-store"));
    response
}

async fn page() -> impl IntoResponse {
    let headers =
        [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CONTENT_SECURITY_POLICY, page::POLICY.as_str())];
    (headers, page::HTML)
}

async fn ready(State(shared): State<Shared>) -> (StatusCode, String) {
    match shared.node.unready() {
        None => (StatusCode::OK, "ok\n".to_owned()),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}

async fn metrics(State(shared): State<Shared>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, daffi::metrics::CONTENT_TYPE)], metrics::text(&shared.node))
}

async fn node(State(shared): State<Shared>) -> impl IntoResponse {
    Json(shared.node.snapshot(shared.since))
}

async fn live(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    let mut another_token = shared.guard.another_token();
    // Who showed the token before it is watched may have shown the one before.
    if let Err(refused) = shared.guard.check_token(&headers) {
        return refused.into_response();
    }
    let Some(page) = shared.live.look() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many pages are open\n").into_response();
    };
    let events = stream::unfold(page, |mut page| async move {
        let event = page.next().await?;
        Some((Ok::<Bytes, Infallible>(event), page))
    });
    let events = events.take_until(Box::pin(async move { another_token.await_take().await }));
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(events.boxed())).into_response()
}
