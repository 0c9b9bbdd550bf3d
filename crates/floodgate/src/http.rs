//! What a running `settle` answers over HTTP: metrics, health, status, live stock.
//!
//! It only reads what the workers share. Invariant: no request makes a worker wait, and a request
//! that cannot be answered says why.

use std::net::TcpListener;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use anyhow::Context;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use ledger::rules::Rules;
use ledger::units::{MerchantId, SkuId};
use metrics_exporter_prometheus::PrometheusHandle;
use pipeline::settings::WorkerSettings;
use pipeline::status::{Shared, WorkerStatus};
use pipeline::stock_view::{StockAnswer, StockViews};
use serde_json::{Value, json};

use crate::metrics;

/// What the handlers read.
#[derive(Clone)]
pub(crate) struct Served {
    metrics: PrometheusHandle,
    /// What the process waits for before it can start its workers.
    waiting: Arc<Mutex<String>>,
    /// Set once, when the workers are started.
    shown: Arc<OnceLock<Shown>>,
}

/// The workers of a process and what belongs to them.
pub(crate) struct Shown {
    pub(crate) workers: Vec<Arc<Shared>>,
    pub(crate) views: Arc<StockViews>,
    pub(crate) rules: Rules,
    pub(crate) settings: WorkerSettings,
}

impl Served {
    /// Without workers yet.
    pub(crate) fn new(metrics: PrometheusHandle) -> Served {
        Served { metrics, waiting: Arc::default(), shown: Arc::default() }
    }

    /// Says what the start waits for.
    pub(crate) fn waiting_for(&self, what: String) {
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = what;
    }

    /// Shows the workers from now on; once.
    pub(crate) fn show(&self, shown: Shown) {
        self.shown.get_or_init(|| shown);
    }

    fn waiting(&self) -> String {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A listening socket: taken early, so that a port in use ends the process before it joins the group.
pub(crate) fn bind(address: &str) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address)
        .with_context(|| format!("cannot listen on {address}; choose another with --listen"))?;
    listener.set_nonblocking(true).context("socket")?;
    Ok(listener)
}

/// Serves until the process ends, on threads of its own.
pub(crate) fn serve(listener: TcpListener, served: Served) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("http")
        .enable_all()
        .build()
        .context("http runtime")?;
    let serving = async move {
        let listener = tokio::net::TcpListener::from_std(listener).context("socket")?;
        axum::serve(listener, router(served)).await.context("http server")
    };
    let thread = std::thread::Builder::new().name("http-main".to_owned());
    thread
        .spawn(move || {
            if let Err(error) = runtime.block_on(serving) {
                tracing::error!("{error:#}");
            }
        })
        .context("http thread")?;
    Ok(())
}

fn router(served: Served) -> Router {
    Router::new()
        .route("/metrics", get(figures))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/status", get(status))
        .route("/api/v1/stock/{merchant}/{sku}", get(stock))
        .with_state(served)
}

async fn figures(State(served): State<Served>) -> Response {
    let page = metrics::page(&served.metrics, served.shown.get());
    ([(header::CONTENT_TYPE, metrics::PAGE_TYPE)], page).into_response()
}

/// 200 while every worker takes part and every partition it has is worked on; else 503. Either way
/// a line for each worker says what it looks at.
async fn readyz(State(served): State<Served>) -> Response {
    let Some(shown) = served.shown.get() else {
        let line = format!("[-]starting: {}\n", served.waiting());
        return (StatusCode::SERVICE_UNAVAILABLE, line).into_response();
    };
    let mut lines = String::new();
    let mut ready = true;
    for (number, worker) in shown.workers.iter().enumerate() {
        let status = worker.status();
        ready &= status.is_ready();
        lines.push_str(&readiness_line(number, &status));
    }
    let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, lines).into_response()
}

fn readiness_line(number: usize, status: &WorkerStatus) -> String {
    let unready = status.partitions.iter().filter(|partition| partition.phase != "live");
    let unready: Vec<String> = unready
        .map(|partition| format!("partition {} {}", partition.partition, partition.phase))
        .collect();
    let why = match (&status.trouble, status.leaving) {
        (Some(trouble), _) => trouble.clone(),
        (None, true) => "leaving the group".to_owned(),
        (None, false) if !unready.is_empty() => unready.join(", "),
        (None, false) if status.is_ready() => format!("{} partitions", status.partitions.len()),
        (None, false) => "starting".to_owned(),
    };
    let sign = if status.is_ready() { "[+]" } else { "[-]" };
    format!("{sign}worker {number}: {why}\n")
}

async fn status(State(served): State<Served>) -> Json<Value> {
    let version = env!("CARGO_PKG_VERSION");
    Json(match served.shown.get() {
        None => json!({ "version": version, "waiting_for": served.waiting() }),
        Some(Shown { workers, rules, .. }) => json!({
            "version": version,
            "rules": pipeline::metadata::rules_text(rules),
            "workers": workers.iter().map(|worker| worker.status()).collect::<Vec<_>>(),
        }),
    })
}

async fn stock(State(served): State<Served>, Path((merchant, sku)): Path<(u64, u64)>) -> Response {
    let Some(Shown { views, rules, .. }) = served.shown.get() else {
        let error = format!("starting: {}", served.waiting());
        return (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "error": error }))).into_response();
    };
    let Rules { partitioner, partitions, .. } = *rules;
    let answer = views.stock(MerchantId(merchant), SkuId(sku), partitioner, partitions);
    match answer {
        StockAnswer::Found(found) => {
            let locations = found.locations;
            Json(json!({
                "merchant_id": merchant,
                "sku": sku,
                "listed": found.listed,
                "safety_stock": found.safety_stock,
                "locations": locations,
            }))
            .into_response()
        }
        StockAnswer::UnknownSku => {
            let error = format!("merchant {merchant} has no SKU {sku}");
            (StatusCode::NOT_FOUND, Json(json!({ "error": error }))).into_response()
        }
        StockAnswer::Elsewhere => {
            let error = format!(
                "the partition of merchant {merchant} is not worked on by this process; ask another \
                 one of the group"
            );
            (StatusCode::MISDIRECTED_REQUEST, Json(json!({ "error": error }))).into_response()
        }
    }
}
