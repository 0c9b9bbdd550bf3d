//! What a running board answers: each address of `openapi.json`, who is let in, and what is told while
//! figures are missing or old.

#![expect(clippy::unwrap_used, reason = "in a test a failed unwrap is a failed test")]

mod schema;
mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use board::{Access, Board, Clock, Settings, SourceError, serve};
use serde_json::Value;
use support::{DAY, DAY_OFFSET_MS, Fed, MIDNIGHT_MS, Sale, read_to_its_end};

const PATIENCE: Duration = Duration::from_secs(60);

struct Stage {
    source: Fed,
    address: String,
    _board: Board,
}

/// What a request was answered with.
struct Answer {
    code: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        let Answer { body, code, .. } = self;
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{code} {error}: {body}"))
    }
}

impl Stage {
    fn new(source: Fed, access: Access) -> Stage {
        Stage::with_stale_ms(source, access, 3_600_000)
    }

    fn with_stale_ms(source: Fed, access: Access, stale_ms: u64) -> Stage {
        let settings = Settings {
            day_offset_ms: DAY_OFFSET_MS,
            days: 2,
            stale_ms,
            clock: Clock::Records,
            compare: None,
            access,
        };
        let board = Board::start(Box::new(source.clone()), settings).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        serve(listener, &board).unwrap();
        Stage { source, address, _board: board }
    }

    fn open() -> Stage {
        Stage::new(Fed::default(), Access::default())
    }

    fn request(&self, path: &str, headers: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let host = &self.address;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {host}\r\n{headers}\r\n").unwrap();
        stream
    }

    fn ask(&self, path: &str, headers: &str) -> Answer {
        let mut answer = String::new();
        self.request(path, headers).read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
        let code = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        Answer { code: code.expect("a code"), head: head.to_owned(), body: body.to_owned() }
    }

    fn get(&self, path: &str) -> Answer {
        self.ask(path, "")
    }

    /// Asks until the answer is as wanted.
    fn await_answer(&self, path: &str, wanted: impl Fn(&Answer) -> bool) -> Answer {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.get(path);
            if wanted(&answer) {
                return answer;
            }
            assert!(Instant::now() < deadline, "{path} in vain, last: {}", answer.body);
            std::thread::yield_now();
        }
    }

    /// Feeds the first records and waits until they have been read.
    fn await_read(&self, records: Vec<support::Record>) {
        let count = records.len();
        self.source.feed(records);
        self.await_answer("/api/v1/health", |answer| answer.json()["records"] == count);
    }

    /// Feeds a sale and waits until it is shown.
    fn show(&self, sale: &mut Sale) {
        self.source.feed(sale.records());
        let settled = sale.sum("all", "all", |counters| counters.settled);
        self.await_answer("/api/v1/totals", |answer| {
            answer.code == 200 && answer.json()["settled"] == u64::try_from(settled).unwrap()
        });
    }
}

fn openapi(stage: &Stage) -> Value {
    stage.get("/api/v1/openapi.json").json()
}

#[track_caller]
fn assert_described(openapi: &Value, path: &str, answer: &Answer) {
    let responses = &openapi["paths"][path]["get"]["responses"];
    let code = answer.code.to_string();
    let described = match responses.get(code.as_str()) {
        Some(response) => response,
        None => &openapi["components"]["responses"]["Refused"],
    };
    let schema = &described["content"]["application/json"]["schema"];
    assert!(schema.is_object(), "{path} {code} is not described");
    let faults = schema::faults(openapi, schema, &answer.json());
    assert!(faults.is_empty(), "{path}: {faults:#?}");
}

#[test]
fn every_answer_is_as_openapi_describes_it() {
    let stage = Stage::open();
    let mut sale = Sale::new(3, 40);
    sale.history(130, 2);
    stage.show(&mut sale);
    let openapi = openapi(&stage);
    let all = ["totals", "dimensions/{dimension}", "merchants/{merchant_id}", "minutes", "compare"];
    let others = ["live", "health", "openapi.json"];
    let described: Vec<&String> = openapi["paths"].as_object().unwrap().keys().collect();
    let mut served: Vec<String> =
        all.iter().chain(&others).map(|path| format!("/api/v1/{path}")).collect();
    served.sort();
    assert_eq!(described, served.iter().collect::<Vec<_>>());
    let asked = [
        ("/api/v1/totals", "/api/v1/totals".to_owned(), 200),
        ("/api/v1/totals", format!("/api/v1/totals?day={DAY}"), 200),
        ("/api/v1/totals", "/api/v1/totals?day=all".to_owned(), 200),
        ("/api/v1/totals", "/api/v1/totals?day=1999-12-31".to_owned(), 200),
        ("/api/v1/totals", "/api/v1/totals?day=today".to_owned(), 400),
        ("/api/v1/totals", "/api/v1/totals?dya=all".to_owned(), 400),
        ("/api/v1/merchants/{merchant_id}", "/api/v1/merchants/1000".to_owned(), 200),
        ("/api/v1/merchants/{merchant_id}", "/api/v1/merchants/1".to_owned(), 200),
        ("/api/v1/merchants/{merchant_id}", "/api/v1/merchants/somebody".to_owned(), 400),
        ("/api/v1/minutes", "/api/v1/minutes".to_owned(), 200),
        ("/api/v1/compare", "/api/v1/compare".to_owned(), 404),
        ("/api/v1/health", "/api/v1/health".to_owned(), 200),
        ("/api/v1/health", "/api/v1/nothing".to_owned(), 404),
    ];
    for (path, asked, code) in asked {
        let answer = stage.get(&asked);
        assert_eq!(answer.code, code, "{asked}: {}", answer.body);
        assert_described(&openapi, path, &answer);
    }
    let path = "/api/v1/dimensions/{dimension}";
    let dimensions = &openapi["paths"][path]["get"]["parameters"][0]["schema"]["enum"];
    for dimension in dimensions.as_array().unwrap() {
        let dimension = dimension.as_str().unwrap();
        let answer = stage.get(&format!("/api/v1/dimensions/{dimension}?limit=3"));
        assert_eq!(answer.code, 200, "{dimension}: {}", answer.body);
        assert_described(&openapi, path, &answer);
        assert!(!answer.json()["items"].as_array().unwrap().is_empty(), "{dimension}");
    }
    for wrong in ["brand", "channel?by=beauty", "location?by=placed", "channel?limit=1001"] {
        let answer = stage.get(&format!("/api/v1/dimensions/{wrong}"));
        assert!(answer.code == 400 || answer.code == 404, "{wrong}: {}", answer.body);
        assert_described(&openapi, path, &answer);
    }
}

#[test]
fn the_figures_are_the_sums_of_the_partitions() {
    let stage = Stage::open();
    let mut sale = Sale::new(5, 30);
    sale.history(90, 3);
    stage.show(&mut sale);
    sale.history(10, 7);
    stage.show(&mut sale);
    let sum = |dimension: &str, value: &str, of: fn(&board::Counters) -> u128| {
        u64::try_from(sale.sum(dimension, value, of)).unwrap()
    };
    for dimension in
        ["channel", "area", "fulfilment", "province", "category", "merchant", "location", "minute"]
    {
        let answer = stage.await_answer(
            &format!("/api/v1/dimensions/{dimension}?limit=1000"),
            // Merchants and locations are copied for who asks once a second.
            |answer| {
                let settled = answer.json()["items"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|item| item["settled"].as_u64().unwrap())
                    .sum::<u64>();
                settled == sum("all", "all", |counters| counters.settled)
            },
        );
        let page = answer.json();
        let items = page["items"].as_array().unwrap();
        assert_eq!(page["count"], items.len(), "{dimension}");
        for item in items {
            let value = item["value"].as_str().unwrap();
            assert_eq!(
                item["settled"],
                sum(dimension, value, |c| c.settled),
                "{dimension} {value}"
            );
            assert_eq!(item["orders_settled"], sum(dimension, value, |c| c.orders_settled.into()));
        }
        let settled: Vec<u64> =
            items.iter().map(|item| item["settled"].as_u64().unwrap()).collect();
        assert!(settled.is_sorted_by(|a, b| a >= b), "{dimension} is not in order");
    }
    let merchant = stage.get("/api/v1/merchants/1000").json();
    assert_eq!(merchant["settled"], sum("merchant", "1000", |counters| counters.settled));
    assert_eq!(merchant["counted"], true);
    for location in merchant["locations"].as_array().unwrap() {
        let value = format!("1000:{}", location["location"]);
        assert_eq!(location["settled"], sum("location", &value, |counters| counters.settled));
    }
    assert_eq!(stage.get("/api/v1/merchants/1").json()["counted"], false);
}

/// Reads the stream's next event: its name and its data.
fn next_event(reader: &mut BufReader<TcpStream>) -> (String, Value) {
    let (mut name, mut line) = (String::new(), String::new());
    loop {
        line.clear();
        assert!(reader.read_line(&mut line).unwrap() > 0, "the stream ended");
        if let Some(event) = line.strip_prefix("event: ") {
            name = event.trim().to_owned();
        } else if let Some(data) = line.strip_prefix("data: ") {
            return (name, serde_json::from_str(data).unwrap());
        }
    }
}

#[test]
fn the_stream_tells_what_changes_and_that_the_board_lives() {
    let stage = Stage::open();
    let mut sale = Sale::new(9, 10);
    sale.history(65, 1);
    stage.show(&mut sale);
    let openapi = openapi(&stage);
    let mut reader = BufReader::new(stage.request("/api/v1/live", ""));
    let frame = &openapi["components"]["schemas"]["Frame"];
    let (name, first) = next_event(&mut reader);
    assert_eq!(name, "figures");
    assert_eq!(schema::faults(&openapi, frame, &first), Vec::<String>::new());
    // Ranks follow within a second; then nothing more, until something changes.
    let quiet = (0..8).map(|_| next_event(&mut reader)).find(|(name, _)| name == "health");
    let (_, health) = quiet.expect("without changes only health is told");
    let schema = &openapi["components"]["schemas"]["Health"];
    assert_eq!(schema::faults(&openapi, schema, &health), Vec::<String>::new());
    sale.now_ms += 1_000;
    sale.sell(50);
    stage.source.feed(sale.records());
    let changed = (0..8).map(|_| next_event(&mut reader)).find(|(name, _)| name == "figures");
    let (_, changed) = changed.expect("a change is told");
    assert_eq!(schema::faults(&openapi, frame, &changed), Vec::<String>::new());
    let settled = u64::try_from(sale.sum("all", "all", |counters| counters.settled)).unwrap();
    assert_eq!(changed["day"]["totals"]["settled"], settled);
}

#[test]
fn nothing_is_told_before_everything_has_been_read_and_nothing_goes_back() {
    let source = Fed::default();
    source.fail(SourceError::Away("the brokers are away".to_owned()));
    let stage = Stage::new(source, Access::default());
    stage.await_answer("/readyz", |answer| answer.body.contains("the brokers are away"));
    assert_eq!(stage.get("/readyz").code, 503);
    assert_eq!(stage.get("/livez").code, 200);
    assert_eq!(stage.get("/api/v1/totals").code, 503);
    let mut sale = Sale::new(1, 5);
    sale.history(30, 1);
    let (first, rest) = halves(sale.records());
    stage.source.has_more(true);
    stage.await_read(first);
    assert_eq!(stage.get("/api/v1/totals").code, 503);
    assert_eq!(stage.get("/readyz").code, 503);
    stage.source.feed(rest);
    stage.source.has_more(false);
    stage.show(&mut sale);
    let before = stage.get("/api/v1/totals").body;
    assert_eq!(stage.get("/readyz").code, 200);

    // The topic was made anew: until it has been read, the figures stay.
    let mut anew = Sale::new(1, 5);
    anew.history(10, 1);
    let (first, rest) = halves(anew.records());
    let why = SourceError::Anew("the topic was made anew".to_owned());
    stage.source.has_more(true);
    stage.source.fail_and_feed(Some(why), []);
    stage.await_answer("/readyz", |answer| answer.code == 503);
    stage.await_read(first);
    assert_eq!(stage.get("/api/v1/totals").body, before);
    stage.source.feed(rest);
    stage.source.has_more(false);
    stage.show(&mut anew);
    assert_ne!(stage.get("/api/v1/totals").body, before);
}

fn halves(mut records: Vec<support::Record>) -> (Vec<support::Record>, Vec<support::Record>) {
    let rest = records.split_off(records.len() / 2);
    (records, rest)
}

/// Nothing was sold for a moment; then the transaction of a dead process hides what is sold.
#[test]
fn a_quiet_shop_is_told_from_a_partition_that_stands_still() {
    let stage = Stage::with_stale_ms(Fed::default(), Access::default(), 1);
    let mut sale = Sale::new(4, 5);
    sale.history(5, 1);
    stage.show(&mut sale);
    let openapi = openapi(&stage);
    let await_state = |state: &str, is_well: bool| {
        let answer = stage.await_answer("/api/v1/health", |it| it.json()["state"] == state);
        assert_described(&openapi, "/api/v1/health", &answer);
        let health = answer.json();
        assert_eq!((&health["ok"], &health["stale"]), (&is_well.into(), &true.into()), "{health}");
        health["standstill"].clone()
    };
    let quiet = "floodgate_board_state{state=\"quiet\"} 1\n";
    assert_eq!(await_state("quiet", true), serde_json::json!([]));
    assert!(stage.get("/metrics").body.contains(quiet));

    stage.source.stand(vec![read_to_its_end(0, 0), read_to_its_end(3, 2)]);
    let standstill = await_state("standstill", false);
    assert_eq!(standstill.as_array().unwrap().len(), 1, "{standstill}");
    assert_eq!(standstill[0]["partition"], 3);
    assert_eq!(standstill[0]["why"], "open_transaction");
    let metrics = stage.get("/metrics").body;
    let labels = "floodgate_board_standstill_seconds{partition=\"3\",why=\"open_transaction\"} ";
    assert!(metrics.contains(labels) && !metrics.contains(quiet), "{metrics}");

    stage.source.stand(vec![read_to_its_end(0, 0), read_to_its_end(3, 0)]);
    assert_eq!(await_state("quiet", true), serde_json::json!([]));
}

#[test]
fn what_is_no_counter_is_told_and_changes_nothing() {
    let stage = Stage::open();
    let mut sale = Sale::new(2, 5);
    sale.history(5, 1);
    stage.show(&mut sale);
    let before = stage.get("/api/v1/totals").body;
    stage.source.feed([(b"0/x".to_vec(), Some(b"{\"day\":1}".to_vec()))]);
    let health = stage.await_answer("/api/v1/health", |answer| answer.json()["unreadable"] == 1);
    assert!(health.json()["unreadable_why"].as_str().unwrap().contains("fields"));
    assert_eq!(stage.get("/api/v1/totals").body, before);
}

/// Dimension `all` of a day.
fn of_day(day: &str, settled: u64) -> support::Record {
    let text = format!(
        r#"{{"partition":0,"day":"{day}","dimension":"all","value":"all","orders_placed":1,"placed":{settled},"orders_settled":1,"units_settled":1,"settled":{settled},"orders_refunded":0,"refunded":0,"orders_rejected":0,"orders_released":0,"dead_letters":0,"duplicates":0,"offset":1,"at":{MIDNIGHT_MS}}}"#
    );
    (format!("0/{day}/all/all").into_bytes(), Some(text.into_bytes()))
}

#[test]
fn of_a_day_that_is_not_kept_the_totals_still_count() {
    let stage = Stage::open();
    let days = [of_day("2025-11-11", 1), of_day("2025-11-09", 2), of_day("2025-11-10", 4)];
    stage.source.feed(days);
    stage.await_answer("/api/v1/totals?day=all", |answer| {
        answer.code == 200 && answer.json()["settled"] == 7
    });
    assert_eq!(stage.get("/api/v1/totals?day=2025-11-09").json()["settled"], 2);
    assert_eq!(stage.get("/api/v1/minutes?day=2025-11-10").code, 200);
    let gone = stage.get("/api/v1/minutes?day=2025-11-09");
    assert_eq!(gone.code, 404);
    assert!(gone.body.contains("only the totals are kept"), "{}", gone.body);
}

#[test]
fn what_is_beyond_the_bounds_is_told_and_the_newest_totals_are_right() {
    let stage = Stage::open();
    let days = (1991..2021).flat_map(|year| (1..=12).map(move |month| (year, month)));
    let days = days.flat_map(|(year, month)| (1..=28).map(move |day| (year, month, day)));
    // 10,080 of them, the newest first.
    let days = days.map(|(year, month, day)| of_day(&format!("{year}-{month:02}-{day:02}"), 3));
    let mut records: Vec<support::Record> = days.collect();
    records.reverse();
    stage.source.feed(records);
    let health = stage.await_answer("/api/v1/health", |answer| answer.json()["passed_over"] == 80);
    assert_described(&openapi(&stage), "/api/v1/health", &health);
    assert!(health.json()["passed_over_why"].as_str().unwrap().contains("10000 days"));
    let metrics = stage.get("/metrics").body;
    assert!(metrics.contains("floodgate_board_passed_over_records_total 80\n"), "{metrics}");
    assert_eq!(stage.get("/api/v1/totals?day=2020-12-28").json()["settled"], 3);
    assert_eq!(stage.get("/api/v1/totals?day=all").json()["settled"], 30_000);
}

#[test]
fn a_guarded_board_tells_strangers_nothing_but_that_it_lives() {
    let directory = tempfile::tempdir().unwrap();
    let (tokens, users) = (directory.path().join("tokens"), directory.path().join("users"));
    std::fs::write(&tokens, "hunter2\n").unwrap();
    std::fs::write(&users, "hall:sesame\n").unwrap();
    let access = Access::default().with_tokens(&tokens).unwrap().with_users(&users).unwrap();
    let stage = Stage::new(Fed::default(), access);
    let guarded = ["/", "/m/7", "/m?id=7", "/assets/board.js", "/api/v1/health", "/api/v1/nothing"];
    for path in guarded {
        let refused = stage.get(path);
        assert_eq!(refused.code, 401, "{path}");
        assert!(refused.head.to_lowercase().contains("www-authenticate: basic"), "{path}");
        let wrong = stage.ask(path, "Authorization: Bearer hunter3\r\n");
        assert_eq!(wrong.code, 401, "{path}");
        for known in ["Bearer hunter2", "Basic aGFsbDpzZXNhbWU="] {
            let answer = stage.ask(path, &format!("Authorization: {known}\r\n"));
            assert_ne!(answer.code, 401, "{path} {known}");
        }
    }
    assert_eq!(stage.get("/livez").code, 200);
}

#[test]
fn every_file_that_a_page_names_is_served_and_nothing_comes_from_elsewhere() {
    let stage = Stage::open();
    let mut waiting = vec!["/".to_owned(), "/m/7".to_owned()];
    let mut seen = std::collections::BTreeSet::new();
    while let Some(path) = waiting.pop() {
        if !seen.insert(path.clone()) {
            continue;
        }
        let answer = stage.ask(&path, "Accept: */*\r\n");
        assert_eq!(answer.code, 200, "{path}");
        assert!(answer.head.contains("default-src 'none'"), "{path} may load from anywhere");
        let kept = answer.head.contains("cache-control: no-store");
        let asked_again = answer.head.contains("cache-control: no-cache");
        assert!(kept || asked_again, "{path} may be kept by somebody on the way");
        let elsewhere = answer.body.replace("http://www.w3.org/2000/svg", "");
        assert!(!elsewhere.contains("http://") && !elsewhere.contains("https://"), "{path}");
        let named = answer.body.split(['"', '\'', '`', '(']).filter_map(|part| {
            let name = part.strip_prefix("./").map(|module| format!("/assets/{module}"));
            name.or_else(|| part.starts_with("/assets/").then(|| part.to_owned()))
        });
        waiting.extend(named.filter(|path| !path.ends_with("woff2")));
    }
    assert!(seen.len() > 20, "only {seen:?}");
    let tag = stage.get("/").head;
    let tag = tag.lines().find_map(|line| line.strip_prefix("etag: ")).expect("a tag");
    assert_eq!(stage.ask("/", &format!("If-None-Match: {tag}\r\n")).code, 304);
    assert_eq!(stage.get("/m/somebody").code, 400);
    assert_eq!(stage.get("/m?id=12").code, 303);
}
