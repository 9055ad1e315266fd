//! Accepting connections, routing requests, stopping.

use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{
    CONNECTION, CONTENT_TYPE, HOST, HeaderName, ORIGIN, RETRY_AFTER, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use axum::routing::{any, get};
use hyper_util::rt::{TokioIo, TokioTimer};
use peerloom_core::wire::codec::Codec;
use peerloom_core::wire::limits;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tower_service::Service;

use crate::address::{self, Addresses, Place};
use crate::config::Config;
use crate::site::Files;
use crate::socket;
use crate::switchboard::Switchboard;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// How often a server that stops looks whether all sockets are gone.
const LOOK: Duration = Duration::from_millis(20);

struct App {
    config: Arc<Config>,
    switchboard: Arc<Switchboard>,
    addresses: Arc<Addresses>,
    files: Files,
    stopping: AtomicBool,
    /// Held by every WebSocket's task until its close is complete.
    alive: Arc<()>,
}

/// What a TCP connection occupies; kept for as long as it lasts, also as a WebSocket.
#[derive(Clone)]
struct Peer {
    address: IpAddr,
    _held: Arc<(OwnedSemaphorePermit, Option<Place>)>,
}

/// Serves on `listener` until `shutdown` resolves; then sends the clients away and returns when they are gone.
pub async fn run(listener: TcpListener, config: Config, shutdown: impl Future<Output = ()>) {
    let config = Arc::new(config);
    let switchboard = Arc::new(Switchboard::new(config.hub.clone(), config.outgoing));
    let app = Arc::new(App {
        switchboard: switchboard.clone(),
        addresses: Addresses::new(config.sockets_per_address, config.opens_per_address),
        files: Files::new(config.site.clone()),
        stopping: AtomicBool::new(false),
        alive: Arc::new(()),
        config: config.clone(),
    });
    let router = Router::new()
        .route("/peerloom", any(open))
        .route("/healthz", get(health))
        .fallback(file)
        .with_state(app.clone());
    let room = Arc::new(Semaphore::new(config.sockets));
    let accepting = async {
        loop {
            let Ok(permit) = room.clone().acquire_owned().await else {
                return;
            };
            match listener.accept().await {
                Ok((stream, from)) => accept(&app, &router, stream, from, permit),
                Err(error) => {
                    // Out of file descriptors, most likely: it helps to wait until some are closed.
                    tracing::warn!(%error, "cannot accept");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    };
    let stopping = async {
        shutdown.await;
        app.stopping.store(true, Ordering::Relaxed);
        let sockets = Arc::strong_count(&app.alive) - 1;
        tracing::info!(sockets, "stopping");
        switchboard.input(|hub, now| hub.drain(now));
        let last = Duration::from_millis(config.hub.drain_linger.into()) + config.close_within * 2;
        let gone = async {
            while Arc::strong_count(&app.alive) > 1 {
                tokio::time::sleep(LOOK).await;
            }
        };
        let _ = tokio::time::timeout(last, gone).await;
    };
    let mut accepting = pin!(accepting);
    tokio::select! {
        () = &mut accepting => {}
        () = switchboard.keep_time() => {}
        () = stopping => {}
    }
    tracing::info!("stopped");
}

fn accept(
    app: &Arc<App>,
    router: &Router,
    stream: TcpStream,
    from: SocketAddr,
    permit: OwnedSemaphorePermit,
) {
    let now = app.switchboard.now();
    let address = from.ip();
    let proxy = app
        .config
        .trusted_proxies
        .iter()
        .any(|network| network.contains(address));
    let place = if proxy {
        None
    } else {
        match app.addresses.hold(now, address) {
            Some(place) => Some(place),
            // Closing it is all that such a one is worth.
            None => return,
        }
    };
    // Frames are small and wanted at once (RFC 896 would hold them back).
    let _ = stream.set_nodelay(true);
    let peer = Peer {
        address,
        _held: Arc::new((permit, place)),
    };
    let router = router.clone();
    let service = hyper::service::service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(peer.clone());
        router.clone().call(request.map(Body::new))
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(app.config.head_within)
        .max_buf_size(16 * 1024)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::spawn(async move {
        // Errors are the client's own: a head that was too slow, a connection that broke.
        if let Err(error) = connection.await {
            tracing::debug!(%error, "connection ends");
        }
    });
}

async fn health(State(app): State<Arc<App>>) -> Response<Body> {
    if app.stopping.load(Ordering::Relaxed) {
        plain(StatusCode::SERVICE_UNAVAILABLE, "stopping\n")
    } else {
        plain(StatusCode::OK, "ok\n")
    }
}

async fn file(State(app): State<Arc<App>>, request: Request) -> Response<Body> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
    }
    let mut response = app.files.respond(request.uri().path(), request.headers());
    if request.method() == Method::HEAD {
        *response.body_mut() = Body::empty();
    }
    response
}

fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}

/// The WebSocket's opening handshake (RFC 6455 section 4.2).
async fn open(State(app): State<Arc<App>>, mut request: Request) -> Response<Body> {
    let headers = request.headers();
    if request.method() != Method::GET || !has_token(headers, &UPGRADE, "websocket") {
        return plain(
            StatusCode::UPGRADE_REQUIRED,
            "This is where Peerloom's WebSocket is; open it with the subprotocol peerloom.v1 or peerloom.v1.json.\n",
        );
    }
    let Some(key) = headers
        .get(SEC_WEBSOCKET_KEY)
        .filter(|_| has_token(headers, &CONNECTION, "upgrade"))
    else {
        return plain(StatusCode::BAD_REQUEST, "not a WebSocket handshake\n");
    };
    if headers
        .get(SEC_WEBSOCKET_VERSION)
        .is_none_or(|version| version != "13")
    {
        let mut response = plain(
            StatusCode::UPGRADE_REQUIRED,
            "this server speaks WebSocket version 13\n",
        );
        response
            .headers_mut()
            .insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        return response;
    }
    let accept = derive_accept_key(key.as_bytes());
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    if !app.config.origins.allow(text(ORIGIN), text(HOST)) {
        return plain(
            StatusCode::FORBIDDEN,
            "pages of this origin may not connect; the operator lists them with --origin\n",
        );
    }
    let (codec, protocol) = if has_token(headers, &SEC_WEBSOCKET_PROTOCOL, limits::SUBPROTOCOL) {
        (Codec::Binary, limits::SUBPROTOCOL)
    } else if has_token(headers, &SEC_WEBSOCKET_PROTOCOL, limits::SUBPROTOCOL_JSON) {
        (Codec::Json, limits::SUBPROTOCOL_JSON)
    } else {
        return plain(
            StatusCode::BAD_REQUEST,
            "name a subprotocol: peerloom.v1 (binary, postcard) or peerloom.v1.json (text)\n",
        );
    };
    let Some(peer) = request.extensions().get::<Peer>().cloned() else {
        return plain(StatusCode::INTERNAL_SERVER_ERROR, "no address\n");
    };
    let now = app.switchboard.now();
    let forwarded: Vec<&str> = headers
        .get_all(FORWARDED_FOR)
        .iter()
        .map(|value| value.to_str().unwrap_or("?"))
        .collect();
    let client = address::client(
        peer.address,
        Some(&forwarded.join(",")),
        &app.config.trusted_proxies,
    );
    let place = if client == peer.address {
        None
    } else {
        match app.addresses.hold(now, client) {
            Some(place) => Some(place),
            None => return slow_down(1_000),
        }
    };
    if let Err(wait) = app.addresses.open(now, client) {
        return slow_down(wait);
    }
    let upgrade = hyper::upgrade::on(&mut request);
    let (config, switchboard, alive) = (app.config.clone(), app.switchboard.clone(), app.alive.clone());
    tokio::spawn(async move {
        let _held = (peer, place, alive);
        match upgrade.await {
            Ok(stream) => socket::serve(TokioIo::new(stream), codec, config, switchboard).await,
            Err(error) => tracing::debug!(%error, "no WebSocket came of it"),
        }
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
    if let Ok(accept) = HeaderValue::from_str(&accept) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    response
}

fn slow_down(wait: u64) -> Response<Body> {
    let mut response = plain(
        StatusCode::TOO_MANY_REQUESTS,
        "too many connections from this address\n",
    );
    response
        .headers_mut()
        .insert(RETRY_AFTER, HeaderValue::from(wait.div_ceil(1000)));
    response
}

/// Whether a header that holds a list names `token`, in any case.
fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|list| list.split(',').any(|one| one.trim().eq_ignore_ascii_case(token)))
}
