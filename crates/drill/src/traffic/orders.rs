//! What order number so-and-so is: its buyer, cart, terms and fate, a function of the seed and the
//! number alone. A payment or a repetition hours later makes the order again instead of keeping
//! it, so that what is pending stays small. Not what Floodgate makes of it.

use super::draw::{Domain, Draw};
use super::json::{Command, IdSpace};
use super::regions::UNKNOWN;
use super::settings::Fate;
use super::world::{Merchant, Sku, World};

/// Lines of a wholesale order, the most that the contract allows.
const WHOLESALE_LINES: usize = 100;
/// Units of one line, the most that the contract allows.
const GREEDY_UNITS: u64 = 1_000_000;
/// A location that no merchant ever opens.
const NO_SUCH_LOCATION: u32 = 4_000_000_000;
/// Channels of the contract, and two that it reads as `other`.
const CHANNELS: [&str; 10] = [
    "app",
    "app",
    "app",
    "app",
    "mini_program",
    "mini_program",
    "web",
    "other",
    "wechat-live",
    "小店",
];

#[derive(Debug, Clone, Copy)]
pub(super) struct Line {
    pub(super) sku: u64,
    pub(super) qty: u64,
    pub(super) unit_price: u64,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Presale {
    pub(super) deposit: u64,
    /// In milliseconds after the start, as all times of an order.
    pub(super) balance_due_ms: i64,
}

/// An order as its checkout publishes it.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) number: u64,
    pub(super) fate: Fate,
    /// When it is sent.
    pub(super) arrival_ms: u64,
    pub(super) placed_ms: i64,
    pub(super) merchant: Merchant,
    pub(super) buyer: u64,
    pub(super) lines: Vec<Line>,
    pub(super) discount: u64,
    pub(super) channel: &'static str,
    pub(super) region: &'static str,
    pub(super) rural: bool,
    pub(super) pickup: Option<u32>,
    pub(super) pay_by_ms: Option<i64>,
    pub(super) presale: Option<Presale>,
}

impl Order {
    /// The order of this number.
    pub(super) fn of(world: &World, number: u64) -> Self {
        let mut draw = world.draw(Domain::Order, number);
        let fate = world.fate(number);
        let arrival_ms = world.arrival_ms(number);
        let basket = Basket::draw(world, number, fate, &mut draw);
        let merchant = basket.merchant;
        let farmed = basket.farmed;
        let mut order = Self {
            number,
            fate,
            arrival_ms,
            placed_ms: placed_ms(world, fate, arrival_ms, &mut draw),
            merchant,
            buyer: buyer(world, number, &basket, &mut draw),
            lines: basket.lines,
            discount: 0,
            channel: basket.channel.unwrap_or_else(|| draw.pick(&CHANNELS)),
            region: region(world, &mut draw),
            rural: draw.per_mille(if farmed {
                world.settings.rural_produce_per_mille
            } else {
                world.settings.rural_per_mille
            }),
            pickup: None,
            pay_by_ms: None,
            presale: None,
        };
        order.set_terms(world, &mut draw);
        order
    }

    pub(super) fn gross(&self) -> u64 {
        self.lines.iter().map(|line| line.qty * line.unit_price).sum()
    }

    pub(super) fn amount(&self) -> u64 {
        self.gross() - self.discount
    }

    pub(super) fn on_placement(&self) -> bool {
        self.fate == Fate::SettledOnPlacement
    }

    /// When a hold of this order ends at the latest, if it is placed at `now_ms`.
    pub(super) fn expires_ms_max(&self, world: &World, now_ms: u64) -> u64 {
        let by_rule = now_ms + world.settings.time_to_live_ms;
        let balance_due_ms = self.presale.map_or(0, |presale| presale.balance_due_ms);
        let by_terms = self.pay_by_ms.unwrap_or(0).max(balance_due_ms);
        by_rule.max(by_terms.max(0).cast_unsigned())
    }

    fn set_terms(&mut self, world: &World, draw: &mut Draw) {
        let settings = &world.settings;
        let arrival = self.arrival_ms.cast_signed();
        let gross = self.gross();
        let in_store = self.on_placement() && draw.per_mille(700);
        if self.on_placement() {
            self.channel = if in_store { "store" } else { "phone" };
        }
        if in_store || draw.per_mille(settings.pickup_per_mille) {
            self.pickup = self.merchant.store();
        }
        if draw.per_mille(settings.discounted_per_mille) {
            self.discount = gross * draw.between(1, 30) / 100;
        }
        match self.fate {
            Fate::Free => self.discount = gross,
            Fate::NoSuchStore => self.pickup = Some(NO_SUCH_LOCATION),
            Fate::BornExpired => self.pay_by_ms = Some(arrival - 1),
            Fate::PayBySoon => {
                self.pay_by_ms = Some(arrival + draw.between(500, 20_000).cast_signed());
            }
            Fate::PayByMet => {
                self.pay_by_ms = Some(arrival + draw.between(1_200_000, 3_600_000).cast_signed());
            }
            Fate::Presale | Fate::PresaleForfeited | Fate::PresaleMuddled => {
                let balance_due_ms = arrival + draw.between(1_800_000, 7_200_000).cast_signed();
                let deposit = (self.amount() * draw.between(5, 30) / 100).max(1);
                self.presale = Some(Presale { deposit, balance_due_ms });
            }
            _ => {}
        }
    }

    /// Writes `order.placed`; `start_ms` is the run's.
    pub(super) fn write(&self, start_ms: i64, out: &mut Vec<u8>) {
        let at = |after_ms: i64| (start_ms + after_ms).max(0);
        let merchant = &self.merchant;
        let mut command = Command::begin(out, merchant.style, "order.placed", merchant.id);
        command.identifier("order_id", IdSpace::Order, self.number);
        command.id("buyer_id", self.buyer);
        command.number("placed_at", at(self.placed_ms));
        write_demand(&mut command, self.channel, self.region, self.rural);
        command.optional("discount", self.discount == 0, |command| {
            command.unsigned("discount", self.discount);
        });
        write_lines(&mut command, &self.lines);
        self.write_fulfilment(&mut command);
        command.optional("settle", !self.on_placement(), |command| {
            command.text("settle", if self.on_placement() { "on_placement" } else { "on_payment" });
        });
        match self.pay_by_ms {
            Some(pay_by_ms) => command.number("pay_by", at(pay_by_ms)),
            None => command.absent("pay_by"),
        }
        match self.presale {
            Some(Presale { deposit, balance_due_ms }) => {
                command.name("presale");
                command.open(b'{');
                command.unsigned("deposit", deposit);
                command.number("balance_due", at(balance_due_ms));
                command.close(b'}');
            }
            None => command.absent("presale"),
        }
        command.end();
    }

    fn write_fulfilment(&self, command: &mut Command<'_>) {
        command.optional("fulfilment", self.pickup.is_none(), |command| {
            command.name("fulfilment");
            command.open(b'{');
            match self.pickup {
                Some(location) => {
                    command.text("mode", "pickup");
                    command.id("location", location.into());
                }
                None => command.text("mode", "ship"),
            }
            command.close(b'}');
        });
    }
}

/// The fields that say through which channel and from where an order came.
pub(super) fn write_demand(command: &mut Command<'_>, channel: &str, region: &str, rural: bool) {
    command.optional("channel", channel == "other", |command| command.text("channel", channel));
    command.optional("region", region == UNKNOWN, |command| command.text("region", region));
    command.optional("area", !rural, |command| {
        command.text("area", if rural { "rural" } else { "urban" });
    });
}

fn write_lines(command: &mut Command<'_>, lines: &[Line]) {
    command.name("lines");
    command.open(b'[');
    for line in lines {
        command.open(b'{');
        command.id("sku", line.sku);
        command.unsigned("qty", line.qty);
        command.unsigned("unit_price", line.unit_price);
        command.close(b'}');
    }
    command.close(b']');
}

/// A region as buyers have them: mostly a district, sometimes only its city, rarely none.
fn region(world: &World, draw: &mut Draw) -> &'static str {
    let is_unknown = draw.per_mille(world.settings.region_unknown_per_mille);
    if is_unknown { UNKNOWN } else { world.places.draw(draw) }
}

fn placed_ms(world: &World, fate: Fate, arrival_ms: u64, draw: &mut Draw) -> i64 {
    let arrival = arrival_ms.cast_signed();
    // The way through the publisher's own queue.
    let lag_ms = draw.below(200).cast_signed();
    match fate {
        Fate::Stale => arrival - world.settings.order_window_ms.cast_signed() - 1 - lag_ms,
        Fate::Ahead => arrival + world.settings.skew_ms.cast_signed() + 1 + lag_ms,
        _ => arrival - lag_ms,
    }
}

fn buyer(world: &World, number: u64, basket: &Basket, draw: &mut Draw) -> u64 {
    let settings = &world.settings;
    if basket.flash {
        // A stream of their own, so that bots change nothing but the buyer.
        let mut bot = world.draw(Domain::Bot, number);
        if bot.per_mille(settings.bots_per_mille) {
            return 30_000_001 + bot.below(settings.bots);
        }
        let buyers = world.flash_orders() * 10 / settings.flash_orders_per_ten_buyers.max(1);
        return 20_000_001 + draw.below(buyers);
    }
    let buyers = world.orders / world.settings.orders_per_buyer.max(1);
    let buyer = draw.below(buyers);
    if buyer % 100 == 7 { u64::MAX - buyer } else { 10_000_001 + buyer }
}

/// What is in the cart, and whose shop it is.
struct Basket {
    merchant: Merchant,
    lines: Vec<Line>,
    channel: Option<&'static str>,
    flash: bool,
    /// The first line is farm produce.
    farmed: bool,
}

impl Basket {
    fn draw(world: &World, number: u64, fate: Fate, draw: &mut Draw) -> Self {
        let flash = draw.per_mille(world.settings.flash_orders_per_mille);
        let plain = matches!(fate, Fate::Paid | Fate::NeverPaid | Fate::Cancelled);
        if fate == Fate::OverLimit || (flash && plain) {
            return Self::flash(world, fate, draw);
        }
        let every = world.livestream_every();
        let on_air = number % every < every / 10;
        if on_air && plain && draw.per_mille(world.settings.livestream_orders_per_mille) {
            let (merchant, sku) = world.livestream(number / every);
            return Self::fill(world, fate, merchant, sku, Some("livestream"), draw);
        }
        let merchant = world.popular_merchant(draw);
        let sku = world.popular_sku(&merchant, draw);
        Self::fill(world, fate, merchant, sku, None, draw)
    }

    fn flash(world: &World, fate: Fate, draw: &mut Draw) -> Self {
        let item = draw.below(world.flash_items());
        let (merchant, sku) = world.flash_item(item);
        let qty = if fate == Fate::OverLimit { sku.limit + 1 } else { 1 };
        let lines = vec![Line { sku: sku.id, qty, unit_price: sku.price }];
        Self { merchant, lines, channel: None, flash: true, farmed: is_farmed(&sku) }
    }

    fn fill(
        world: &World,
        fate: Fate,
        merchant: Merchant,
        first: Sku,
        channel: Option<&'static str>,
        draw: &mut Draw,
    ) -> Self {
        let settings = &world.settings;
        let count = match fate {
            Fate::Wholesale => WHOLESALE_LINES,
            // A livestream sells one thing, and enough of it was brought.
            _ if channel.is_some() => 1,
            _ => lines_count(settings.lines_max, draw),
        };
        let mut lines = Vec::with_capacity(count + 1);
        lines.push(Line { sku: first.id, qty: pieces(fate, draw), unit_price: first.price });
        while lines.len() < count {
            let sku = world.popular_sku(&merchant, draw);
            let gift = draw.per_mille(settings.gifts_per_mille);
            let unit_price = if gift { 0 } else { sku.price };
            lines.push(Line { sku: sku.id, qty: pieces(fate, draw), unit_price });
        }
        if lines.len() < WHOLESALE_LINES && draw.per_mille(settings.twice_per_mille) {
            // The second piece at half the price.
            lines.push(Line { sku: first.id, qty: 1, unit_price: first.price / 2 });
        }
        match fate {
            Fate::Greedy => lines[0].qty = GREEDY_UNITS,
            Fate::UnknownSku => lines[0].sku += 777_000_000_000,
            _ => {}
        }
        Self { merchant, lines, channel, flash: false, farmed: is_farmed(&first) }
    }
}

fn is_farmed(sku: &Sku) -> bool {
    sku.category.starts_with("agri.")
}

fn lines_count(lines_max: u64, draw: &mut Draw) -> usize {
    let wanted = match draw.below(100) {
        0..60 => 1,
        60..82 => 2,
        82..93 => 3,
        _ => draw.between(4, lines_max.max(4)),
    };
    wanted.min(lines_max.clamp(1, WHOLESALE_LINES as u64 - 1)) as usize
}

fn pieces(fate: Fate, draw: &mut Draw) -> u64 {
    match draw.below(100) {
        _ if fate == Fate::Wholesale => 1,
        0..78 => 1,
        78..93 => 2,
        _ => draw.between(3, 5),
    }
}
