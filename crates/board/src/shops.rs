//! A day's merchants and their stores, 200,000 and more of them, in little memory.
//!
//! Flat rows, found by number through two maps: some 145 bytes for a merchant and 75 for a location,
//! map entries included. A merchant whose records come from more than one partition (partitioner
//! `any`) has a row for each, chained. Invariant: a row is one partition's last word on its counter;
//! one that counts nothing is passed over, as if it were not there.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::bounds::{Bound, Bounds};
use crate::counters::{Counters, Sum};

/// End of a chain.
const NONE: u32 = u32::MAX;

/// What a location's counters say: settled figures only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LocationCounters {
    /// Orders settled in which it served a line.
    pub orders_settled: u64,
    /// Units that it served.
    pub units_settled: u64,
    /// The amount of those lines.
    pub settled: u128,
}

impl LocationCounters {
    fn add(&mut self, other: &LocationCounters) {
        self.orders_settled = self.orders_settled.wrapping_add(other.orders_settled);
        self.units_settled = self.units_settled.wrapping_add(other.units_settled);
        self.settled = self.settled.wrapping_add(other.settled);
    }
}

#[derive(Debug)]
struct MerchantRow {
    merchant: u64,
    partition: u32,
    /// The same merchant's row for another partition.
    next: u32,
    first_location: u32,
    counters: Counters,
}

#[derive(Debug)]
struct LocationRow {
    merchant_row: u32,
    location: u32,
    /// The same merchant row's next location.
    next: u32,
    counters: LocationCounters,
}

/// A merchant and all its locations, partitions added up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shop {
    /// The merchant's own counters.
    pub counters: Counters,
    /// By location, ascending.
    pub locations: Vec<(u32, LocationCounters)>,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Shops {
    first_rows: HashMap<u64, u32>,
    merchants: Vec<MerchantRow>,
    location_rows: HashMap<(u32, u32), u32>,
    locations: Vec<LocationRow>,
    /// Rows of both kinds that count something.
    counting: usize,
}

/// There is no room for another row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full(pub(crate) Bound);

impl Shops {
    pub(crate) fn set_merchant(
        &mut self,
        partition: u32,
        merchant: u64,
        counters: Counters,
        bounds: &Bounds,
    ) -> Result<(), Full> {
        let row = self.merchant_row(partition, merchant, bounds)?;
        let row = &mut self.merchants[row as usize].counters;
        replace(row, counters, &mut self.counting);
        Ok(())
    }

    pub(crate) fn set_location(
        &mut self,
        partition: u32,
        (merchant, location): (u64, u32),
        counters: LocationCounters,
        bounds: &Bounds,
    ) -> Result<(), Full> {
        let merchant_row = self.merchant_row(partition, merchant, bounds)?;
        let (rows, locations) = (&mut self.location_rows, &mut self.locations);
        let row = match rows.entry((merchant_row, location)) {
            Entry::Occupied(found) => *found.get(),
            Entry::Vacant(_) if locations.len() >= bounds.locations => {
                return Err(Full(Bound::Locations));
            }
            Entry::Vacant(place) => {
                let first = &mut self.merchants[merchant_row as usize].first_location;
                let row = number(locations.len());
                let next = std::mem::replace(first, row);
                let counters = LocationCounters::default();
                locations.push(LocationRow { merchant_row, location, next, counters });
                *place.insert(row)
            }
        };
        replace(&mut locations[row as usize].counters, counters, &mut self.counting);
        Ok(())
    }

    /// Whether nothing is counted of anybody.
    pub(crate) fn is_empty(&self) -> bool {
        self.counting == 0
    }

    /// The row of a merchant in a partition, made if there is none: a location's record may come
    /// before its merchant's.
    fn merchant_row(
        &mut self,
        partition: u32,
        merchant: u64,
        bounds: &Bounds,
    ) -> Result<u32, Full> {
        let first = *self.first_rows.get(&merchant).unwrap_or(&NONE);
        let mut row = first;
        while row != NONE {
            let found = &self.merchants[row as usize];
            if found.partition == partition {
                return Ok(row);
            }
            row = found.next;
        }
        if self.merchants.len() >= bounds.merchants {
            return Err(Full(Bound::Merchants));
        }
        let row = number(self.merchants.len());
        let counters = Counters::default();
        let new = MerchantRow { merchant, partition, next: first, first_location: NONE, counters };
        self.merchants.push(new);
        self.first_rows.insert(merchant, row);
        Ok(row)
    }

    /// A merchant with its locations; none if nothing was counted of it.
    pub(crate) fn shop(&self, merchant: u64) -> Option<Shop> {
        let mut row = *self.first_rows.get(&merchant)?;
        let mut shop = Shop::default();
        while row != NONE {
            let found = &self.merchants[row as usize];
            shop.counters.exchange(&Counters::default(), &found.counters);
            let mut location = found.first_location;
            while location != NONE {
                let LocationRow { location: id, next, counters, .. } =
                    &self.locations[location as usize];
                if *counters != LocationCounters::default() {
                    shop.locations.push((*id, *counters));
                }
                location = *next;
            }
            row = found.next;
        }
        shop.locations.sort_unstable_by_key(|(location, _)| *location);
        shop.locations.dedup_by(|again, kept| {
            let same = again.0 == kept.0;
            if same {
                kept.1.add(&again.1);
            }
            same
        });
        (shop != Shop::default()).then_some(shop)
    }

    /// All merchants, partitions added up.
    pub(crate) fn all_merchants(&self) -> Vec<(u64, Counters)> {
        let counting = self.merchants.iter().filter(|row| row.counters != Counters::default());
        let mut all: Vec<_> = counting.map(|row| (row.merchant, row.counters)).collect();
        if self.has_chains() {
            all.sort_unstable_by_key(|(merchant, _)| *merchant);
            all.dedup_by(|again, kept| {
                let same = again.0 == kept.0;
                if same {
                    kept.1.exchange(&Counters::default(), &again.1);
                }
                same
            });
        }
        all
    }

    /// Whether some merchant has a row for more than one partition.
    fn has_chains(&self) -> bool {
        self.merchants.len() > self.first_rows.len()
    }

    /// All locations with their merchants, partitions added up.
    pub(crate) fn all_locations(&self) -> Vec<((u64, u32), LocationCounters)> {
        let place = |row: &LocationRow| {
            let merchant = self.merchants[row.merchant_row as usize].merchant;
            ((merchant, row.location), row.counters)
        };
        let counting = |row: &&LocationRow| row.counters != LocationCounters::default();
        let mut all: Vec<_> = self.locations.iter().filter(counting).map(place).collect();
        if self.has_chains() {
            all.sort_unstable_by_key(|(place, _)| *place);
            all.dedup_by(|again, kept| {
                let same = again.0 == kept.0;
                if same {
                    kept.1.add(&again.1);
                }
                same
            });
        }
        all
    }
}

/// Puts a row's new counters in the place of its old ones.
fn replace<C: Default + PartialEq>(row: &mut C, new: C, counting: &mut usize) {
    let counts = |counters: &C| usize::from(*counters != C::default());
    *counting = *counting + counts(&new) - counts(row);
    *row = new;
}

/// A row's number.
fn number(index: usize) -> u32 {
    u32::try_from(index).ok().filter(|number| *number != NONE).expect("rows fit into memory")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounds::BOUNDS;

    fn settled(settled: u128) -> Counters {
        Counters { settled, orders_settled: 1, ..Counters::default() }
    }

    fn at_location(settled: u128) -> LocationCounters {
        LocationCounters { settled, orders_settled: 1, units_settled: 2 }
    }

    #[test]
    fn a_record_read_twice_counts_once() {
        let mut shops = Shops::default();
        for _ in 0..2 {
            shops.set_location(0, (7, 3), at_location(5), &BOUNDS).unwrap();
            shops.set_merchant(0, 7, settled(9), &BOUNDS).unwrap();
        }
        let shop = shops.shop(7).unwrap();
        assert_eq!(shop.counters, settled(9));
        assert_eq!(shop.locations, [(3, at_location(5))]);
        assert_eq!((shops.all_merchants().len(), shops.all_locations().len()), (1, 1));
        assert_eq!(shops.shop(8), None);
    }

    #[test]
    fn a_merchant_of_two_partitions_is_their_sum() {
        let mut shops = Shops::default();
        shops.set_merchant(0, 1, settled(1), &BOUNDS).unwrap();
        for (partition, amount) in [(2, 10), (0, 100)] {
            shops.set_merchant(partition, 7, settled(amount), &BOUNDS).unwrap();
            shops.set_location(partition, (7, 4), at_location(amount), &BOUNDS).unwrap();
            shops.set_location(partition, (7, partition), at_location(1), &BOUNDS).unwrap();
        }
        let both = Counters { orders_settled: 2, ..settled(110) };
        let shop = shops.shop(7).unwrap();
        assert_eq!(shop.counters, both);
        let at_four = LocationCounters { orders_settled: 2, units_settled: 4, settled: 110 };
        assert_eq!(shop.locations, [(0, at_location(1)), (2, at_location(1)), (4, at_four)]);
        let mut merchants = shops.all_merchants();
        merchants.sort_unstable_by_key(|(merchant, _)| *merchant);
        assert_eq!(merchants, [(1, settled(1)), (7, both)]);
        assert!(shops.all_locations().contains(&((7, 4), at_four)));
        assert_eq!(shops.all_locations().len(), 3);
    }

    #[test]
    fn who_has_nothing_is_nobody() {
        let mut shops = Shops::default();
        shops.set_merchant(0, 7, Counters::default(), &BOUNDS).unwrap();
        shops.set_location(1, (7, 3), LocationCounters::default(), &BOUNDS).unwrap();
        assert_eq!(shops.shop(7), None);
        for partition in [0, 1] {
            shops.set_merchant(partition, 7, settled(9), &BOUNDS).unwrap();
            shops.set_location(partition, (7, 3), at_location(5), &BOUNDS).unwrap();
        }
        shops.set_location(0, (7, 3), LocationCounters::default(), &BOUNDS).unwrap();
        shops.set_merchant(0, 7, Counters::default(), &BOUNDS).unwrap();
        let left = Shop { counters: settled(9), locations: vec![(3, at_location(5))] };
        assert_eq!(shops.shop(7), Some(left));
        shops.set_merchant(1, 7, Counters::default(), &BOUNDS).unwrap();
        shops.set_location(1, (7, 3), LocationCounters::default(), &BOUNDS).unwrap();
        assert_eq!(shops.shop(7), None);
        assert_eq!((shops.all_merchants().len(), shops.all_locations().len()), (0, 0));
    }

    /// The bound that the module's documentation gives, without the maps' spare room.
    #[test]
    fn rows_stay_small() {
        assert!(size_of::<MerchantRow>() <= 112, "{}", size_of::<MerchantRow>());
        assert!(size_of::<LocationRow>() <= 48, "{}", size_of::<LocationRow>());
    }
}
