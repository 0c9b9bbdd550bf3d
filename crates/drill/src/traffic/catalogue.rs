//! What upstream publishes before the sale opens, merchant by merchant: locations opened, SKUs
//! listed, goods delivered. Holds one merchant's records at a time, never the whole catalogue.

use std::collections::VecDeque;

use super::Kind;
use super::json::{Command, IdSpace};
use super::regions::UNKNOWN;
use super::world::{Location, Merchant, RECEIPT_UNITS_MAX, Sku, World};

/// Units that fill a shelf to the brim.
const CELL_UNITS_MAX: u64 = 4_294_967_295;

/// The catalogue, record by record.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    /// Groups of records that are done or in `waiting`: first one for each merchant, then one for
    /// each flash item, then the voucher.
    groups: u64,
    waiting: VecDeque<(Merchant, Item)>,
    deliveries: u64,
}

/// What one record of the catalogue says.
#[derive(Debug, Clone, Copy)]
pub(super) enum Item {
    Location(Location),
    Listing(Sku),
    /// Delivery `number` of all.
    Delivery {
        number: u64,
        sku: u64,
        location: u32,
        units: u64,
    },
}

impl Item {
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Location(_) => Kind::LocationOpened,
            Self::Listing(_) => Kind::SkuListed,
            Self::Delivery { .. } => Kind::StockReceived,
        }
    }

    /// Writes the record's value; `at_ms` is when it is due, in milliseconds since 1970.
    pub(super) fn write(&self, merchant: &Merchant, at_ms: i64, out: &mut Vec<u8>) {
        match *self {
            Self::Location(location) => write_location(merchant, &location, out),
            Self::Listing(sku) => write_listing(merchant, &sku, out),
            Self::Delivery { number, sku, location, units } => {
                let (received_at, qty) = (at_ms.max(0), units.cast_signed());
                Receipt { number, received_at, sku, qty, location }.write(merchant, out);
            }
        }
    }
}

impl Catalogue {
    /// The next record and when it is due, in milliseconds after the start, unless the catalogue is
    /// complete.
    pub(super) fn next(&mut self, world: &World) -> Option<(u64, Merchant, Item)> {
        let all = u64::from(world.merchants()) + world.flash_items() + 1;
        while self.waiting.is_empty() && self.groups < all {
            self.gather(world);
            self.groups += 1;
        }
        let (merchant, item) = self.waiting.pop_front()?;
        let due_ms = world.settings.opening_ms * self.groups / (all + 1);
        Some((due_ms, merchant, item))
    }

    /// Gathers the records of the next group.
    fn gather(&mut self, world: &World) {
        let merchants = u64::from(world.merchants());
        if self.groups < merchants {
            self.gather_merchant(world, world.merchant(self.groups as u32));
        } else if self.groups < merchants + world.flash_items() {
            let (merchant, sku) = world.flash_item(self.groups - merchants);
            let location = merchant.locations.min(1);
            let units = world.flash_delivery();
            self.waiting.push_back((merchant, Item::Listing(sku)));
            self.deliver(merchant, sku.id, location, units);
        } else {
            let (merchant, sku) = world.voucher();
            let mut missing = CELL_UNITS_MAX;
            while missing > 0 {
                let units = missing.min(RECEIPT_UNITS_MAX);
                missing -= units;
                self.deliver(merchant, sku.id, 0, units);
            }
        }
    }

    fn gather_merchant(&mut self, world: &World, merchant: Merchant) {
        for number in 1..=merchant.locations {
            let location = world.location(&merchant, number);
            self.waiting.push_back((merchant, Item::Location(location)));
        }
        for local in 0..merchant.skus {
            let sku = world.sku(&merchant, local);
            let units = world.delivery(&merchant, local);
            self.waiting.push_back((merchant, Item::Listing(sku)));
            for location in merchant.shelves() {
                self.deliver(merchant, sku.id, location, units);
            }
        }
    }

    fn deliver(&mut self, merchant: Merchant, sku: u64, location: u32, units: u64) {
        let delivery = Item::Delivery { number: self.deliveries, sku, location, units };
        self.waiting.push_back((merchant, delivery));
        self.deliveries += 1;
    }
}

/// Writes `location.opened`.
pub(super) fn write_location(merchant: &Merchant, location: &Location, out: &mut Vec<u8>) {
    let mut command = Command::begin(out, merchant.style, "location.opened", merchant.id);
    command.id("location", location.number.into());
    command.text("kind", if location.is_store { "store" } else { "warehouse" });
    command.optional("region", location.region == UNKNOWN, |command| {
        command.text("region", location.region);
    });
    command.optional("priority", location.priority == 100, |command| {
        command.unsigned("priority", location.priority);
    });
    command.optional("ships", location.ships, |command| command.truth("ships", location.ships));
    command.absent("pickup");
    command.end();
}

/// Writes `sku.listed`.
pub(super) fn write_listing(merchant: &Merchant, sku: &Sku, out: &mut Vec<u8>) {
    let mut command = Command::begin(out, merchant.style, "sku.listed", merchant.id);
    command.id("sku", sku.id);
    command.optional("category", sku.category == "none", |command| {
        command.text("category", sku.category);
    });
    command.optional("per_buyer_limit", sku.limit == 0, |command| {
        command.unsigned("per_buyer_limit", sku.limit);
    });
    command.optional("safety_stock", sku.safety == 0, |command| {
        command.unsigned("safety_stock", sku.safety);
    });
    command.end();
}

/// A `stock.received`.
#[derive(Debug)]
pub(super) struct Receipt {
    pub(super) number: u64,
    pub(super) received_at: i64,
    pub(super) sku: u64,
    pub(super) qty: i64,
    pub(super) location: u32,
}

impl Receipt {
    pub(super) fn write(&self, merchant: &Merchant, out: &mut Vec<u8>) {
        let mut command = Command::begin(out, merchant.style, "stock.received", merchant.id);
        command.identifier("receipt_id", IdSpace::Receipt, self.number);
        command.number("received_at", self.received_at);
        command.id("sku", self.sku);
        command.number("qty", self.qty);
        command.optional("location", self.location == 0, |command| {
            command.id("location", self.location.into());
        });
        command.end();
    }
}
