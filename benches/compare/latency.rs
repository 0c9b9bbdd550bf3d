//! How long an order waits for its answer, from when it was due to be written to when a reader with
//! `read_committed` has it.
//!
//! Open loop: orders are written when they are due, whatever becomes of those before; one that is
//! written late has waited since it was due. The drill's meter and reader measure, to the millisecond.
//! Generator and reader share the machine with broker and contender, so the highest rate that holds is
//! the whole machine's. Invariant: every order of a step has one answer, and all of them are waited for.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use drill::load::{Answer, Answers, LATE_MS, LoadError, Meter, WallClock, listen};
use kafka::answers::AnswerReader;
use kafka::publisher::Publisher;

use crate::arguments::{Arguments, Contender};
use crate::ground::{Ground, Place, bar};
use crate::measured::{Latencies, QUANTILES, Step, Written};
use crate::running::Running;
use crate::workload::{Made, Workload};

/// Percent of the highest rate that holds.
const PERCENTS: [u64; 3] = [10, 50, 80];
/// Floodgate's, the yardstick's and Kafka Streams'.
const COMMIT_MS: u64 = 20;
/// Flink's: more often, and checkpoints take most of its time.
const CHECKPOINT_MS: u64 = 200;
/// Before the search, so that a JVM has compiled what it runs.
const WARM_UP: (f64, u64) = (5_000.0, 10);
const SEARCH_FROM: f64 = 10_000.0;
const SEARCH_UP: f64 = 1.5;
const SEARCH_SECONDS: u64 = 4;
/// Halvings between the last rate that held and the first that did not.
const SEARCH_NARROWED: u32 = 2;
/// A rate holds if the last answer comes so soon, commits aside, after the last order was due.
const HELD_WITHIN_MS: u64 = 1_000;
/// Longest wait for the rest of the answers.
const PATIENCE: Duration = Duration::from_secs(120);
const OPENS_AFTER_MS: i64 = 200;

/// Measures every contender, Floodgate first: the yardstick gets Floodgate's rates.
pub(crate) fn measure(
    arguments: &Arguments,
    ground: &Ground,
    like: &Written,
) -> anyhow::Result<Vec<Latencies>> {
    let mut latencies: Vec<Latencies> = Vec::new();
    let takes_part = |one: &Contender| !matches!(one, Contender::Settle50 | Contender::Redis);
    let mut contenders: Vec<Contender> =
        arguments.contenders().into_iter().filter(takes_part).collect();
    contenders.sort_by_key(|one| *one != Contender::Settle20);
    for contender in contenders {
        let floodgate = latencies.iter().find(|one| one.contender == Contender::Settle20.word());
        let highest = match contender {
            Contender::Passthrough => floodgate.map(|one| one.highest),
            _ => None,
        };
        latencies.push(of(contender, highest, arguments, ground, like)?);
    }
    Ok(latencies)
}

fn of(
    contender: Contender,
    highest: Option<f64>,
    arguments: &Arguments,
    ground: &Ground,
    like: &Written,
) -> anyhow::Result<Latencies> {
    let commit_ms = if contender == Contender::Flink { CHECKPOINT_MS } else { COMMIT_MS };
    let like = &like.one_answer_each();
    let place = ground.place(&format!("latency-{}", contender.word()), None)?;
    let workload = Workload { merchants: arguments.merchants, orders: 0 };
    let running = Running::start(contender, commit_ms, ground, &place, like)?;
    let mut session = Session::open(contender, commit_ms, ground, &place, workload, running)?;
    session.drive(WARM_UP.0, WARM_UP.1)?;
    let highest = highest.map_or_else(|| session.highest(), Ok)?;
    let mut steps = Vec::new();
    for percent in PERCENTS {
        let driven = session.drive(highest * percent as f64 / 100.0, arguments.latency_seconds)?;
        let step = Step { percent, ..driven.step };
        told(contender, &step);
        steps.push(step);
    }
    session.running.stop();
    ground.clear(&place)?;
    let (word, title) = (contender.word().to_owned(), contender.title());
    // The title names the commit interval of throughput.
    let title = title.split(", commit").next().unwrap_or(title).to_owned();
    Ok(Latencies { contender: word, title, commit_ms, highest, steps })
}

#[expect(clippy::print_stderr, reason = "long work shows where it stands")]
fn told(contender: Contender, step: &Step) {
    let Step { percent, orders_per_second, p50_ms, p99_ms, p999_ms, late, .. } = step;
    eprintln!(
        "latency  {:34} {percent:>3} %  {orders_per_second:>8.0} orders/s  p50 {p50_ms} ms, p99 {p99_ms} ms, \
         p99.9 {p999_ms} ms, {:.2} % late",
        contender.title(),
        late * 100.0
    );
}

/// A contender at work, with who writes to it and who reads from it.
struct Session<'a> {
    contender: Contender,
    commit_ms: u64,
    ground: &'a Ground,
    workload: Workload,
    running: Running,
    publisher: Publisher,
    answers: AnswersOnKafka,
    clock: WallClock,
    /// Of the next order.
    number: u64,
}

/// What became of a step.
struct Driven {
    step: Step,
    /// From when the last order was due to when the last answer was read.
    drained_ms: u64,
}

impl<'a> Session<'a> {
    /// Publishes the catalogue.
    fn open(
        contender: Contender,
        commit_ms: u64,
        ground: &'a Ground,
        place: &Place,
        workload: Workload,
        running: Running,
    ) -> anyhow::Result<Session<'a>> {
        let settings = ground.settings(&place.prefix, &place.topics);
        let publisher = Publisher::new(&settings)?;
        let answers = AnswersOnKafka(AnswerReader::start(&settings, ground.partitions)?);
        let clock = WallClock::new();
        let mut made = Made::default();
        for number in 0..workload.catalogue() {
            workload.make_catalogue(number, clock.now_ms(), &mut made);
            ground.publish(&publisher, &made)?;
        }
        publisher.flush()?;
        let number = 0;
        Ok(Session {
            contender,
            commit_ms,
            ground,
            workload,
            running,
            publisher,
            answers,
            clock,
            number,
        })
    }

    /// The highest rate that holds, to within some 15 %.
    fn highest(&mut self) -> anyhow::Result<f64> {
        let limit = HELD_WITHIN_MS + 2 * self.commit_ms;
        let mut holds = |rate| anyhow::Ok(self.drive(rate, SEARCH_SECONDS)?.drained_ms <= limit);
        let (mut held, mut rate) = (0.0, SEARCH_FROM);
        while holds(rate)? {
            (held, rate) = (rate, rate * SEARCH_UP);
        }
        for _ in 0..SEARCH_NARROWED {
            let middle = f64::midpoint(held, rate);
            if holds(middle)? { held = middle } else { rate = middle }
        }
        ensure!(held > 0.0, "{} does not hold {rate:.0} orders a second", self.contender.title());
        Ok(held)
    }

    /// Writes orders for so long, and waits for the last answer.
    fn drive(&mut self, rate: f64, seconds: u64) -> anyhow::Result<Driven> {
        let orders = (rate * seconds as f64) as u64;
        let opens_at = self.clock.now_ms() + OPENS_AFTER_MS;
        let meter = Meter::new(opens_at, &vec![0; self.ground.partitions as usize]);
        let over = AtomicBool::new(false);
        let title = self.contender.title();
        let progress = bar(orders, &format!("{rate:.0}/s to {title}"));
        let (answers, clock) = (&mut self.answers, self.clock);
        let writer = Writer {
            ground: self.ground,
            publisher: &self.publisher,
            clock,
            workload: self.workload,
            first: self.number,
        };
        let running = &mut self.running;
        let (late, drained_ms) = std::thread::scope(|threads| {
            threads.spawn(|| listen(answers, &clock, &meter, &over, &mut |_| {}));
            let drained = writer.write(rate, orders, opens_at, &mut |sent| {
                progress.set_position(sent);
            });
            let drained = drained.and_then(|late| {
                let ends_at = opens_at + (orders as f64 * 1e3 / rate) as i64;
                Ok((late, await_answers(&meter, orders, running, clock, ends_at)?))
            });
            // Relaxed: nothing is handed over with the flag.
            over.store(true, Ordering::Relaxed);
            drained
        })?;
        progress.finish_and_clear();
        self.number += orders;
        let latency = meter.measured().latency;
        let at = |quantile| latency.value_at_quantile(quantile);
        let step = Step {
            percent: 100,
            orders_per_second: rate,
            orders,
            late: late as f64 / orders as f64,
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: latency.max(),
            quantiles: QUANTILES.map(at).into(),
        };
        Ok(Driven { step, drained_ms })
    }
}

/// Waits until each order has its answer; how many milliseconds after the last was due that was.
fn await_answers(
    meter: &Meter,
    orders: u64,
    running: &mut Running,
    clock: WallClock,
    ends_at: i64,
) -> anyhow::Result<u64> {
    let (mut last, mut moved_at) = (0, Instant::now());
    loop {
        let answers = meter.answers();
        if answers >= orders {
            return Ok((clock.now_ms() - ends_at).max(0).unsigned_abs());
        }
        if answers != last {
            (last, moved_at) = (answers, Instant::now());
        }
        running.check()?;
        ensure!(moved_at.elapsed() < PATIENCE, "{answers} of {orders} orders are answered");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Who writes orders when they are due.
struct Writer<'a> {
    ground: &'a Ground,
    publisher: &'a Publisher,
    clock: WallClock,
    workload: Workload,
    /// Number of the first order.
    first: u64,
}

impl Writer<'_> {
    /// Writes them; gives how many were late.
    fn write(
        &self,
        rate: f64,
        orders: u64,
        opens_at: i64,
        on_progress: &mut dyn FnMut(u64),
    ) -> anyhow::Result<u64> {
        const WAIT: Duration = Duration::from_millis(1);
        let mut made = Made::default();
        let (mut sent, mut late) = (0, 0);
        while sent < orders {
            let now = self.clock.now_ms();
            let due = |order: u64| opens_at + (order as f64 * 1e3 / rate) as i64;
            let before = sent;
            while sent < orders && due(sent) <= now {
                self.workload.make_order_at(self.first + sent, due(sent), &mut made);
                self.ground.publish(self.publisher, &made)?;
                late += u64::from(now - due(sent) > LATE_MS);
                sent += 1;
                if (sent - before).is_multiple_of(4_096) {
                    break;
                }
            }
            on_progress(sent);
            self.publisher.serve(if sent == before { WAIT } else { Duration::ZERO });
        }
        self.publisher.flush()?;
        Ok(late)
    }
}

struct AnswersOnKafka(AnswerReader);

impl Answers for AnswersOnKafka {
    fn look(&mut self, wait: Duration, on: &mut dyn FnMut(&Answer<'_>)) -> Result<(), LoadError> {
        let looked = self.0.look(wait, &mut |answered| {
            on(&Answer {
                partition: answered.partition(),
                timestamp_ms: answered.timestamp_ms(),
                value: answered.value(),
                dead_letter: None,
            });
        });
        looked.map_err(|error| LoadError(error.to_string()))
    }
}
