//! Rows of the notation to commands, and effects to text.

#![allow(clippy::unwrap_used, reason = "a test that cannot read its own notation has to fail")]

use ledger::command::{
    Command, ExternalId, Fulfilment, Line, LocationOpened, OrderPaid, OrderPlaced, OrderRefunded,
    Part, Presale, RefundLine, Settle, SkuListed, StockMoved, StockReceived,
};
use ledger::effect::{DeadLetter, Effect, PlacedLine};
use ledger::units::{
    BuyerId, Category, Channel, LocationId, MerchantId, Millis, Money, Region, SkuId, Units,
};

const DEAD_LETTERS: [DeadLetter; 8] = [
    DeadLetter::TooLarge,
    DeadLetter::Invalid,
    DeadLetter::Misrouted,
    DeadLetter::Stale,
    DeadLetter::ClockSkew,
    DeadLetter::StockUnderflow,
    DeadLetter::StockOverflow,
    DeadLetter::TooMany,
];

/// One row of a log.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) text: String,
    pub(crate) time: i64,
    pub(crate) verb: String,
    words: Vec<String>,
    lines: Vec<Line>,
    refund_lines: Vec<RefundLine>,
    pub(crate) expected: String,
}

impl Row {
    /// The row of a line, or `None` for an empty one.
    pub(crate) fn parse(text: &str) -> Option<Row> {
        if text.trim().is_empty() {
            return None;
        }
        let mut columns = text.split('|').map(str::trim);
        let time = columns.next().unwrap();
        let command = columns.next().expect("a row has a command");
        let expected =
            columns.next().unwrap_or("").split_whitespace().collect::<Vec<_>>().join(" ");
        let mut words: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
        let verb = words.remove(0);
        let goods = words.iter().filter(|word| is_line(word)).map(|word| parse_line(word));
        let goods: Vec<(u32, u64, Option<u64>)> = goods.collect();
        let lines = goods.iter().map(|(qty, sku, price)| Line {
            qty: Units(*qty),
            sku: SkuId(*sku),
            unit_price: Money(price.unwrap_or(1)),
        });
        let refund_lines = goods.iter().map(|(qty, sku, location)| RefundLine {
            qty: Units(*qty),
            sku: SkuId(*sku),
            location: LocationId(location.unwrap_or(0) as u32),
        });
        Some(Row {
            text: text.trim().to_owned(),
            time: if time.is_empty() { -1 } else { time.parse().expect("a time") },
            lines: lines.collect(),
            refund_lines: refund_lines.collect(),
            words: words.into_iter().filter(|word| !is_line(word)).collect(),
            verb,
            expected,
        })
    }

    /// The positional word of this number (options are not counted).
    pub(crate) fn word(&self, number: usize) -> &str {
        let mut plain = self.words.iter().filter(|word| !word.contains('='));
        plain.nth(number).unwrap_or_else(|| panic!("word {number} is missing: {}", self.text))
    }

    fn number(&self, number: usize) -> u64 {
        self.word(number).parse().unwrap_or_else(|_| panic!("word {number}: {}", self.text))
    }

    fn has(&self, word: &str) -> bool {
        self.words.iter().any(|have| have == word)
    }

    fn option(&self, name: &str) -> Option<&str> {
        self.words.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
    }

    fn option_or(&self, name: &str, default: u64) -> u64 {
        self.option(name).map_or(default, |value| value.parse().expect("a number"))
    }

    pub(crate) fn merchant(&self) -> MerchantId {
        MerchantId(self.option_or("m", 1))
    }

    fn id(&self, number: usize) -> ExternalId<'_> {
        ExternalId::new(self.word(number)).expect("an id")
    }

    fn own_time(&self) -> Millis {
        Millis(self.option_or("at", self.time.max(0) as u64))
    }

    fn region(&self) -> Region {
        Region::new(self.option_or("region", 0) as u32).expect("a region")
    }

    fn channel(&self) -> Channel {
        self.option("channel").map_or(Channel::Other, Channel::from_name)
    }

    /// SKU and location of a word like `7@0`.
    pub(crate) fn sku_at(&self, number: usize) -> (SkuId, LocationId) {
        let (sku, location) = self.word(number).split_once('@').unwrap_or((self.word(number), "0"));
        (SkuId(sku.parse().unwrap()), LocationId(location.parse().unwrap()))
    }

    /// What the state machine is given.
    pub(crate) fn command(&self) -> Result<Command<'_>, DeadLetter> {
        let merchant = self.merchant();
        Ok(match self.verb.as_str() {
            "place" => Command::OrderPlaced(self.order()),
            "pay" => Command::OrderPaid(OrderPaid {
                merchant,
                payment_id: self.id(0),
                order_id: self.id(1),
                amount: Money(self.number(2)),
                part: match () {
                    () if self.has("deposit") => Part::Deposit,
                    () if self.has("balance") => Part::Balance,
                    () => Part::Full,
                },
                paid_at: self.own_time(),
            }),
            "cancel" => Command::OrderCancelled { merchant, order_id: self.id(0) },
            "refund" => Command::OrderRefunded(self.refund()),
            "receive" | "move" => self.stock(),
            "list" => Command::SkuListed(SkuListed {
                merchant,
                sku: SkuId(self.number(0)),
                category: self
                    .option("cat")
                    .map_or(Category::NONE, |name| Category::new(name).unwrap()),
                per_buyer_limit: Units(self.option_or("limit", 0) as u32),
                safety_stock: Units(self.option_or("safety", 0) as u32),
            }),
            "withdraw" => Command::SkuWithdrawn { merchant, sku: SkuId(self.number(0)) },
            "open" => Command::LocationOpened(LocationOpened {
                merchant,
                location: LocationId(self.number(0) as u32),
                region: self.region(),
                priority: self.option_or("prio", 100) as u16,
                ships: !self.has("no-ship"),
                pickup: self.has("pickup"),
            }),
            "close" => {
                Command::LocationClosed { merchant, location: LocationId(self.number(0) as u32) }
            }
            "tick" => Command::Tick,
            "dead" => {
                let code = DEAD_LETTERS.into_iter().find(|dead| dead.code() == self.word(0));
                return Err(code.expect("a dead letter's code"));
            }
            other => panic!("no such command: {other}"),
        })
    }

    fn order(&self) -> OrderPlaced<'_> {
        let gross: u64 = self.lines.iter().map(|l| u64::from(l.qty.0) * l.unit_price.0).sum();
        let discount = self.option_or("discount", 0);
        let location = self.option("pickup").map(|location| LocationId(location.parse().unwrap()));
        let presale = self.option("presale").map(|terms| {
            let (deposit, due) = terms.split_once(',').expect("deposit,balance_due");
            Presale {
                deposit: Money(deposit.parse().unwrap()),
                balance_due: Millis(due.parse().unwrap()),
            }
        });
        OrderPlaced {
            merchant: self.merchant(),
            order_id: self.id(0),
            buyer: BuyerId(self.option_or("buyer", 9)),
            placed_at: self.own_time(),
            lines: &self.lines,
            amount: Money(gross - discount),
            discount: Money(discount),
            channel: self.channel(),
            region: self.region(),
            rural: self.has("rural"),
            fulfilment: location.map_or(Fulfilment::Ship, Fulfilment::Pickup),
            settle: if self.has("now") { Settle::OnPlacement } else { Settle::OnPayment },
            pay_by: self.option("pay_by").map(|time| Millis(time.parse().unwrap())),
            presale,
        }
    }

    fn refund(&self) -> OrderRefunded<'_> {
        OrderRefunded {
            merchant: self.merchant(),
            refund_id: self.id(0),
            order_id: self.id(1),
            refunded_at: self.own_time(),
            amount: Money(self.number(2)),
            lines: &self.refund_lines,
            restock: self.has("restock"),
            channel: self.channel(),
            region: self.region(),
            rural: self.has("rural"),
        }
    }

    fn stock(&self) -> Command<'_> {
        let (merchant, receipt_id, received_at) = (self.merchant(), self.id(0), self.own_time());
        let (sku, location) = self.sku_at(1);
        let qty: i64 = self.word(2).parse().expect("a quantity");
        match self.option("to") {
            None => Command::StockReceived(StockReceived {
                merchant,
                receipt_id,
                received_at,
                sku,
                location,
                qty,
            }),
            Some(to) => Command::StockMoved(StockMoved {
                merchant,
                receipt_id,
                received_at,
                sku,
                from: location,
                to: LocationId(to.parse().unwrap()),
                qty: Units(qty as u32),
            }),
        }
    }
}

fn is_line(word: &str) -> bool {
    word.split_once('x').is_some_and(|(qty, rest)| {
        !qty.is_empty()
            && qty.bytes().all(|byte| byte.is_ascii_digit())
            && rest.starts_with(|first: char| first.is_ascii_digit())
    })
}

fn parse_line(word: &str) -> (u32, u64, Option<u64>) {
    let (qty, rest) = word.split_once('x').unwrap();
    let (sku, at) = rest.split_once('@').map_or((rest, None), |(sku, at)| (sku, Some(at)));
    (qty.parse().unwrap(), sku.parse().unwrap(), at.map(|at| at.parse().unwrap()))
}

fn lines_text(lines: &[PlacedLine]) -> String {
    let lines = lines.iter().map(|l| format!(" {}x{}@{}", l.qty.0, l.sku.0, l.location.0));
    lines.collect()
}

/// An effect in the notation.
pub(crate) fn effect_text(effect: &Effect<'_>) -> String {
    match effect {
        Effect::HoldPlaced { order, amount, lines, expires_at, .. } => {
            let id = order.order_id.as_str();
            format!("placed {id} {} until={}{}", amount.0, expires_at.0, lines_text(lines))
        }
        Effect::HoldRejected { order, rejection, .. } => {
            let sku = rejection.sku().map(|sku| format!(" {}", sku.0)).unwrap_or_default();
            format!("rejected {} {}{sku}", order.order_id.as_str(), rejection.name())
        }
        Effect::HoldReleased { order, reason, lines, forfeited, .. } => {
            let forfeited =
                forfeited.map(|sum| format!(" forfeited={}", sum.0)).unwrap_or_default();
            let id = order.order_id.as_str();
            format!("released {id} {}{}{forfeited}", reason.name(), lines_text(lines))
        }
        Effect::HoldExtended { order, expires_at } => {
            format!("extended {} until={}", order.order_id.as_str(), expires_at.0)
        }
        Effect::PaymentRefused { payment_id, refusal, .. } => {
            format!("refused {} {}", payment_id.as_str(), refusal.name())
        }
        Effect::OrderSettled { order, amount, lines, .. } => {
            format!("settled {} {}{}", order.order_id.as_str(), amount.0, lines_text(lines))
        }
        Effect::OrderRefunded { refund_id, amount, .. } => {
            format!("refunded {} {}", refund_id.as_str(), amount.0)
        }
        Effect::DeadLetter(code) => format!("dead {}", code.code()),
    }
}
