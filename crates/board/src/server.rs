//! The board as a whole: its settings, its routes, its server.
//!
//! Invariant: every answer forbids the browser to load anything from elsewhere, and nothing but health
//! is told to who is not admitted.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use serde::Deserialize;

use crate::access::Access;
use crate::compare::Compare;
use crate::figures::Clock;
use crate::gate::Gate;
use crate::keeper::{self, Kept};
use crate::source::Source;
use crate::{api, assets, metrics, stream};

/// Only what the board itself serves is loaded, run, asked or framed.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; \
                      frame-ancestors 'self'";

/// What an operator can choose.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Added to the clock before it is cut into business days, as in the rules of `settle`.
    pub day_offset_ms: u64,
    /// Everything is kept of this many of the newest business days, dimension `all` of every one.
    pub days: usize,
    /// Figures older than this are shown with a warning.
    pub stale_ms: u64,
    /// The clock that ages are told by.
    pub clock: Clock,
    /// An earlier day to compare with.
    pub compare: Option<Compare>,
    /// Who may read.
    pub access: Access,
}

/// What the handlers share.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    pub(crate) kept: Kept,
    pub(crate) settings: Arc<Settings>,
    pub(crate) streams: Arc<tokio::sync::Semaphore>,
}

/// A running board, but for its server.
#[derive(Debug)]
pub struct Board {
    shared: Shared,
    stop: Arc<AtomicBool>,
    keeper: Option<JoinHandle<()>>,
}

impl Board {
    /// Starts to read, on a thread of its own.
    pub fn start(source: Box<dyn Source>, settings: Settings) -> std::io::Result<Board> {
        let stop = Arc::new(AtomicBool::new(false));
        let (kept, keeper) = keeper::start(source, &settings, Arc::clone(&stop))?;
        let streams = Arc::new(tokio::sync::Semaphore::new(stream::STREAMS_MAX));
        let shared = Shared { kept, settings: Arc::new(settings), streams };
        Ok(Board { shared, stop, keeper: Some(keeper) })
    }

    /// Page and API.
    pub fn router(&self) -> Router {
        router(self.shared.clone())
    }

    /// Whether it still reads; it ends by itself only if its code has a defect.
    pub fn is_running(&self) -> bool {
        self.keeper.as_ref().is_some_and(|keeper| !keeper.is_finished())
    }
}

/// Stops reading.
impl Drop for Board {
    fn drop(&mut self) {
        // Relaxed: nothing is handed over with the flag.
        self.stop.store(true, Ordering::Relaxed);
        if let Some(keeper) = self.keeper.take() {
            keeper.join().ok();
        }
    }
}

/// Serves until the process ends, on threads of its own.
pub fn serve(listener: TcpListener, board: &Board) -> std::io::Result<()> {
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("http")
        .enable_all()
        .build()?;
    let router = board.router();
    let serving = async move {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        axum::serve(Gate::new(listener), router).await
    };
    std::thread::Builder::new().name("http-main".to_owned()).spawn(move || {
        if let Err(error) = runtime.block_on(serving) {
            tracing::error!("http server: {error}");
        }
    })?;
    Ok(())
}

fn router(shared: Shared) -> Router {
    let guarded = Router::new()
        .route("/", get(|headers: HeaderMap| async move { assets::serve("board.html", &headers) }))
        .route("/m", get(find_merchant))
        .route("/m/{merchant_id}", get(merchant_page))
        .route("/assets/{*name}", get(assets::asset))
        .route("/metrics", get(metrics::board))
        .route("/metrics/merchant/{merchant_id}", get(metrics::merchant))
        .nest("/api/v1", api::router())
        .layer(middleware::from_fn_with_state(shared.clone(), admit));
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .merge(guarded)
        .layer(middleware::map_response(harden))
        .with_state(shared)
}

/// 200 once everything that was there at the start has been read.
async fn readyz(State(shared): State<Shared>) -> Response {
    let reading = shared.kept.figures.borrow().reading.clone();
    let why = reading.trouble.unwrap_or_else(|| format!("{} records read", reading.records));
    match reading.caught_up {
        true => format!("[+]counters: {why}\n").into_response(),
        false => (StatusCode::SERVICE_UNAVAILABLE, format!("[-]counters: {why}\n")).into_response(),
    }
}

/// The page reads the number out of its own address.
async fn merchant_page(Path(_): Path<u64>, headers: HeaderMap) -> Response {
    assets::serve("merchant.html", &headers)
}

#[derive(Deserialize)]
struct Find {
    id: u64,
}

/// Where the page's search field leads, without a script.
async fn find_merchant(Query(Find { id }): Query<Find>) -> Redirect {
    Redirect::to(&format!("/m/{id}"))
}

async fn admit(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let access = &shared.settings.access;
    if access.admits(request.headers()) {
        return next.run(request).await;
    }
    let refusal = api::Refused::NotAdmitted.into_response();
    ([(header::WWW_AUTHENTICATE, access.challenge())], refusal).into_response()
}

async fn harden(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let fixed = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // Figures are old in a moment, and may be for those only who are let in.
    let no_store = HeaderValue::from_static("no-store");
    headers.entry(header::CACHE_CONTROL).or_insert(no_store);
    response
}

/// Longest silence on a stream: then at least health is told.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(1);
