//! Who sells what, where: merchants, their SKUs, stores and warehouses, each a function of the
//! seed and its number alone, so that 200,000 merchants and a million SKUs take no memory. Not the
//! stock, which only Floodgate keeps; here is merely what was delivered.

use super::draw::{Domain, Draw, Zipf};
use super::json::Style;
use super::regions::{Places, REGIONS, UNKNOWN};
use super::settings::{Fate, Settings};

/// `local` number of a merchant's first flash item; ordinary SKUs are below.
const FLASH_LOCAL: u16 = 500;
/// So many fit between the two local numbers.
const FLASH_ITEMS_MAX: u64 = 400;
/// `local` number of the voucher of merchant 0, which nobody orders.
const VOUCHER_LOCAL: u16 = 999;
/// Units of an average order, all lines together, as [`Order`](super::orders::Order) draws them.
const UNITS_PER_ORDER: f64 = 2.4;
/// What takes more of the whole demand is never scarce: a sale without its main item is none.
const SCARCE_SHARE_MAX: f64 = 0.005;
const LIVESTREAMS_MIN: u64 = 4;

/// Most units of one receipt.
pub(super) const RECEIPT_UNITS_MAX: u64 = 1_000_000_000;

/// All that is given before the first record: the settings, the seed and the laws of popularity.
#[derive(Debug)]
pub(super) struct World {
    pub(super) settings: Settings,
    pub(super) seed: u64,
    pub(super) orders: u64,
    merchants: u32,
    merchant_popularity: Zipf,
    sku_popularity: Zipf,
    /// Where buyers are.
    pub(super) places: Places,
    /// The fate of each place in a thousand orders.
    fates: Vec<Fate>,
}

/// A merchant. Popular ones have a low `index`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Merchant {
    pub(super) index: u32,
    pub(super) id: u64,
    /// Ordinary SKUs, at least 1.
    pub(super) skus: u16,
    /// Locations 1 to this are open; 0 means that all stock is at location 0.
    pub(super) locations: u32,
    pub(super) style: Style,
}

impl Merchant {
    /// The store where orders are picked up, if there is one.
    pub(super) fn store(&self) -> Option<u32> {
        (1..=self.locations).find(|&location| self.is_store(location))
    }

    fn is_store(&self, location: u32) -> bool {
        location == 2 || location == 3 || (location == 1 && self.index.is_multiple_of(3))
    }

    /// Every location with stock of this merchant.
    pub(super) fn shelves(&self) -> impl Iterator<Item = u32> + use<> {
        self.locations.min(1)..=self.locations
    }

    /// One location with stock.
    pub(super) fn shelf(&self, draw: &mut Draw) -> u32 {
        draw.between(u64::from(self.locations.min(1)), u64::from(self.locations)) as u32
    }
}

/// A warehouse or store.
#[derive(Debug, Clone, Copy)]
pub(super) struct Location {
    pub(super) number: u32,
    pub(super) is_store: bool,
    pub(super) region: &'static str,
    pub(super) priority: u64,
    pub(super) ships: bool,
}

/// An item that a merchant lists.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sku {
    pub(super) id: u64,
    /// In fen.
    pub(super) price: u64,
    pub(super) category: &'static str,
    /// Units for each buyer; 0 for no limit.
    pub(super) limit: u64,
    /// Units not to be sold.
    pub(super) safety: u64,
}

/// Farm produce goes to town, town goods to the countryside.
const CATEGORIES: [&str; 16] = [
    "agri.fruit",
    "agri.vegetables",
    "agri.grain",
    "agri.tea",
    "agri.livestock",
    "apparel",
    "beauty",
    "books",
    "digital",
    "food.snacks",
    "home",
    "kitchen",
    "mother-baby",
    "sports_outdoor",
    "toys",
    "none",
];

impl World {
    pub(super) fn new(settings: Settings, orders: u64, seed: u64) -> Self {
        let most = u64::from(settings.merchants_max.max(1));
        let merchants = (orders / settings.orders_per_merchant.max(1))
            .max(u64::from(settings.merchants_min.max(1)))
            .min(most) as u32;
        let listed = settings.fates.iter().flat_map(|&(fate, share)| vec![fate; share.into()]);
        Self {
            merchants,
            merchant_popularity: Zipf::new(settings.merchant_exponent, merchants as usize),
            sku_popularity: Zipf::new(settings.sku_exponent, skus_max(&settings).into()),
            places: Places::new(&settings.province_weights),
            fates: listed.chain(std::iter::repeat(Fate::Paid)).take(1000).collect(),
            settings,
            seed,
            orders,
        }
    }

    pub(super) fn draw(&self, domain: Domain, number: u64) -> Draw {
        Draw::of(self.seed, domain, number)
    }

    pub(super) fn merchants(&self) -> u32 {
        self.merchants
    }

    /// The merchant of this index, below [`World::merchants`].
    pub(super) fn merchant(&self, index: u32) -> Merchant {
        let mut draw = self.draw(Domain::Merchant, index.into());
        Merchant {
            index,
            id: merchant_id(index),
            skus: draw.between(1, skus_max(&self.settings).into()) as u16,
            locations: draw.pick(&[0, 1, 1, 2, 2, 3, 4]),
            style: Style::draw(&mut draw),
        }
    }

    /// A merchant, the popular ones more often.
    pub(super) fn popular_merchant(&self, draw: &mut Draw) -> Merchant {
        let ranks = self.merchants as usize;
        self.merchant(self.merchant_popularity.rank(draw, ranks) as u32)
    }

    /// A merchant, each as often.
    pub(super) fn any_merchant(&self, draw: &mut Draw) -> Merchant {
        self.merchant(draw.below(self.merchants.into()) as u32)
    }

    /// One of a merchant's locations, from 1.
    pub(super) fn location(&self, merchant: &Merchant, number: u32) -> Location {
        let place = u64::from(merchant.index) << 8 | u64::from(number);
        let mut draw = self.draw(Domain::Location, place);
        let is_store = merchant.is_store(number);
        Location {
            number,
            is_store,
            region: if draw.per_mille(30) { UNKNOWN } else { draw.pick(&REGIONS) },
            priority: draw.pick(&[100, 100, 10, 50, 200, 65_535]),
            // Every merchant ships from somewhere.
            ships: !is_store || number == 1 || draw.per_mille(700),
        }
    }

    /// One of a merchant's SKUs: an ordinary one below [`Merchant::skus`], a flash item or the
    /// voucher.
    pub(super) fn sku(&self, merchant: &Merchant, local: u16) -> Sku {
        let number = u64::from(merchant.index) << 16 | u64::from(local);
        let mut draw = self.draw(Domain::Sku, number);
        // Some merchants number their SKUs from 1, so that one number means many things.
        let first = if merchant.index % 7 == 3 { 1 } else { 1000 * u64::from(merchant.index + 1) };
        let flash = (FLASH_LOCAL..VOUCHER_LOCAL).contains(&local);
        let price = draw.between(1, 400) * 100 - draw.pick(&[1, 10, 50]);
        let category = draw.pick(&CATEGORIES);
        let limited = draw.per_mille(100);
        let limit = if limited { draw.between(3, 12) } else { 0 };
        let guarded = draw.per_mille(100);
        let safety = if guarded { draw.between(1, 5) } else { 0 };
        Sku {
            id: first + u64::from(local),
            price: if flash { 100 + price / 10 } else { price },
            category,
            limit: if flash { draw.between(1, 2) } else { limit },
            safety: if flash { 0 } else { safety },
        }
    }

    /// An ordinary SKU, the popular ones more often.
    pub(super) fn popular_sku(&self, merchant: &Merchant, draw: &mut Draw) -> Sku {
        let local = self.sku_popularity.rank(draw, merchant.skus.into()) as u16;
        self.sku(merchant, local)
    }

    /// Units delivered to each of the merchant's shelves before the sale.
    pub(super) fn delivery(&self, merchant: &Merchant, local: u16) -> u64 {
        let settings = &self.settings;
        let share =
            self.merchant_popularity.share(merchant.index as usize, self.merchants as usize)
                * self.sku_popularity.share(local.into(), merchant.skus.into());
        let units = (UNITS_PER_ORDER * self.orders as f64 * share) as u64;
        let number = u64::from(merchant.index) << 16 | u64::from(local);
        let mut draw = self.draw(Domain::Delivery, number);
        let is_scarce = draw.per_mille(settings.scarce_skus_per_mille) && share < SCARCE_SHARE_MAX;
        let (percent, base) = if is_scarce {
            (settings.scarce_stock_percent, 1)
        } else {
            (settings.stock_percent, settings.stock_base)
        };
        let shelves = u64::from(merchant.locations.max(1));
        (units * percent / 100 / shelves + base).clamp(1, RECEIPT_UNITS_MAX)
    }

    /// How many flash items there are: few, and at least 3.
    pub(super) fn flash_items(&self) -> u64 {
        u64::from(self.merchants / 100).clamp(3, FLASH_ITEMS_MAX)
    }

    /// A flash item and who sells it.
    pub(super) fn flash_item(&self, item: u64) -> (Merchant, Sku) {
        let merchant = self.any_merchant(&mut self.draw(Domain::Flash, item));
        let sku = self.sku(&merchant, FLASH_LOCAL + item as u16);
        (merchant, sku)
    }

    /// Orders to be expected for all flash items together.
    pub(super) fn flash_orders(&self) -> u64 {
        self.orders * u64::from(self.settings.flash_orders_per_mille) / 1000
    }

    /// Units of each flash item.
    pub(super) fn flash_delivery(&self) -> u64 {
        let units = self.flash_orders() * self.settings.flash_stock_percent / 100;
        (units / self.flash_items()).clamp(1, RECEIPT_UNITS_MAX)
    }

    /// The voucher and who sells it: its shelf, location 0, is filled to the brim.
    pub(super) fn voucher(&self) -> (Merchant, Sku) {
        let merchant = self.merchant(0);
        let sku = self.sku(&merchant, VOUCHER_LOCAL);
        (merchant, sku)
    }

    /// Orders from the start of one livestream to that of the next.
    pub(super) fn livestream_every(&self) -> u64 {
        self.settings.livestream_every_orders.min(self.orders / LIVESTREAMS_MIN).max(1)
    }

    /// Who sells in a livestream, and what, besides the rest of the shop.
    pub(super) fn livestream(&self, number: u64) -> (Merchant, Sku) {
        let merchant = self.any_merchant(&mut self.draw(Domain::Livestream, number));
        let sku = self.sku(&merchant, 0);
        (merchant, sku)
    }

    /// The fate of an order. Every thousand orders share the fates out exactly: the places are
    /// gone through in steps that have no divisor in common with a thousand.
    pub(super) fn fate(&self, order: u64) -> Fate {
        let turn = self.draw(Domain::Fate, order / 1000).below(1000);
        self.fates[((order % 1000 * 617 + turn) % 1000) as usize]
    }

    /// When an order arrives, in milliseconds after the start: as the profile says, or else in a
    /// rush and then an even flow.
    pub(super) fn arrival_ms(&self, order: u64) -> u64 {
        let settings = &self.settings;
        if let Some(profile) = &settings.profile {
            return settings.opening_ms + profile.arrival_ms(order);
        }
        let flow_ms =
            u128::from(self.orders) * 1000 / u128::from(settings.orders_per_second.max(1));
        let sale_ms = flow_ms.max(settings.sale_ms_min.into());
        let rush =
            u128::from(self.orders) * u128::from(settings.rush_orders_per_mille.min(1000)) / 1000;
        let rush_ms = sale_ms * u128::from(settings.rush_time_per_mille.min(1000)) / 1000;
        let order = u128::from(order);
        let after = if order < rush {
            order * rush_ms / rush
        } else {
            rush_ms + (order - rush) * (sale_ms - rush_ms) / (u128::from(self.orders) - rush).max(1)
        };
        settings.opening_ms + after as u64
    }
}

/// The id of the merchant of this index. Some are beyond 2^53, where a parser that goes through floats
/// loses the last digits.
pub(super) fn merchant_id(index: u32) -> u64 {
    match index % 64 {
        9 => u64::MAX - u64::from(index),
        5 | 37 => 9_007_199_254_740_993 + u64::from(index),
        _ => 1001 + u64::from(index),
    }
}

fn skus_max(settings: &Settings) -> u16 {
    settings.skus_per_merchant_max.clamp(1, 100)
}
