//! The page's files, in the binary.
//!
//! Invariant: nothing that a page needs comes from anywhere else.

use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use xxhash_rust::xxh3::xxh3_64;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

macro_rules! assets {
    ($($kind:expr => $($name:literal)+;)+) => {
        &[$($(($name, $kind, include_bytes!(concat!("../assets/", $name)).as_slice()),)+)+]
    };
}

/// Name, media type, content.
const ASSETS: &[(&str, &str, &[u8])] = assets! {
    HTML => "board.html" "merchant.html";
    CSS => "base.css" "board.css" "merchant.css";
    SCRIPT => "board.js" "merchant.js" "live.js" "strings.js" "names.js" "format.js" "preferences.js"
        "dom.js" "headline.js" "pulse.js" "curve.js" "milestones.js" "map.js" "lists.js" "age.js"
        "definitions.js" "roll.js";
    "image/svg+xml" => "icon.svg";
    "font/woff2" => "fonts/inter.woff2";
    "text/plain; charset=utf-8" => "fonts/OFL.txt";
    "application/json" => "openapi.json";
};

/// Serves `/assets/{name}`.
pub(crate) async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    serve(&name, &headers)
}

/// Answers with a file, or that the reader has it already.
pub(crate) fn serve(name: &str, headers: &HeaderMap) -> Response {
    let Some((_, kind, content)) = ASSETS.iter().find(|(known, _, _)| *known == name) else {
        return (StatusCode::NOT_FOUND, "there is no such file\n").into_response();
    };
    let tag = format!("\"{:016x}\"", xxh3_64(content));
    let known =
        headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let tag = HeaderValue::from_str(&tag).expect("a number in quotes is a header's value");
    let common = [
        (header::ETAG, tag),
        // Asked for again each time, answered with "not modified": an update shows at once.
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
    ];
    if known {
        return (StatusCode::NOT_MODIFIED, common).into_response();
    }
    (common, *content).into_response()
}
