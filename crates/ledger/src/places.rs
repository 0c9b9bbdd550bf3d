//! Places: the warehouses and stores of all merchants, open or not.
//!
//! Not stock. A place gets its number when it is opened or first has stock and keeps it. Location 0
//! of a merchant is a place like any other, open from the start and never closed. Invariant: a closed
//! place is no candidate for any order, but its stock is still there.

use crate::catalogue::Merchants;
use crate::command::LocationOpened;
use crate::hash;
use crate::index::Index;
use crate::paged::Paged;
use crate::snapshot::{Frozen, RestoreError, Thaw};
use crate::units::{LocationId, Region};

/// Open locations that a merchant may have, 0 not counted.
const OPEN_MAX: u32 = 4096;

const OPEN: u16 = 1;
const SHIPS: u16 = 2;
const PICKUP: u16 = 4;

#[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(crate) struct Place {
    pub(crate) location: u32,
    pub(crate) merchant: u32,
    region: u32,
    priority: u16,
    flags: u16,
}

/// A candidate's rank for an order; the smallest is asked first.
pub(crate) type Rank = u64;

impl Place {
    fn is(&self, flags: u16) -> bool {
        self.flags & flags == flags
    }

    /// Whether buyers may fetch orders here.
    pub(crate) fn offers_pickup(&self) -> bool {
        self.is(OPEN | PICKUP)
    }

    /// Whether orders are shipped from here.
    pub(crate) fn ships(&self) -> bool {
        self.is(OPEN | SHIPS)
    }

    /// Distance class, then priority, then id; `None` if orders are not shipped from here.
    #[inline]
    pub(crate) fn rank(&self, region: Region) -> Option<Rank> {
        self.ships().then(|| {
            let distance = Region::new(self.region).unwrap_or_default().distance(region);
            u64::from(distance) << 48 | u64::from(self.priority) << 32 | u64::from(self.location)
        })
    }
}

#[derive(Debug, Default)]
pub(crate) struct Places {
    index: Index,
    records: Paged<Place>,
}

impl Places {
    fn hash(merchant: u32, location: LocationId) -> u32 {
        hash::pair(u64::from(merchant), u64::from(location.0))
    }

    pub(crate) fn find(&self, merchant: u32, location: LocationId) -> Option<u32> {
        let is = |reference: u32| {
            let place = self.get(reference - 1);
            place.merchant == merchant && place.location == location.0
        };
        self.index.find(Places::hash(merchant, location), is).map(|reference| reference - 1)
    }

    /// The place's number, a new one (closed, unless it is location 0) if it has none yet.
    pub(crate) fn find_or_add(
        &mut self,
        merchants: &mut Merchants,
        merchant: u32,
        location: LocationId,
    ) -> u32 {
        let own = merchants.get(merchant).own_place;
        if location.0 == 0 && own != 0 {
            return own - 1;
        }
        if let Some(place) = self.find(merchant, location) {
            return place;
        }
        let flags = if location.0 == 0 { OPEN | SHIPS } else { 0 };
        let record = Place { location: location.0, merchant, region: 0, priority: 0, flags };
        let number = self.records.push(record) as u32;
        self.index.insert(Places::hash(merchant, location), number + 1);
        if location.0 == 0 {
            merchants.get_mut(merchant).own_place = number + 1;
        }
        number
    }

    /// Opens a location or replaces an open one; false if the merchant would have too many.
    pub(crate) fn open(
        &mut self,
        merchants: &mut Merchants,
        merchant: u32,
        opened: &LocationOpened,
    ) -> bool {
        let found = self.find(merchant, opened.location);
        if !found.is_some_and(|place| self.get(place).is(OPEN)) {
            if merchants.get(merchant).open_locations == OPEN_MAX {
                return false;
            }
            merchants.get_mut(merchant).open_locations += 1;
        }
        let place = self.find_or_add(merchants, merchant, opened.location);
        let flags = [(true, OPEN), (opened.ships, SHIPS), (opened.pickup, PICKUP)];
        let record = self.records.get_mut(place as usize);
        record.region = opened.region.code();
        record.priority = opened.priority;
        record.flags = flags.iter().filter(|(set, _)| *set).map(|(_, flag)| flag).sum();
        true
    }

    /// Closes a location; of one that is not open: nothing.
    pub(crate) fn close(&mut self, merchants: &mut Merchants, merchant: u32, location: LocationId) {
        let found = self.find(merchant, location).filter(|place| self.get(*place).is(OPEN));
        // Location 0 is always open; the contract does not let anybody close it.
        if let Some(place) = found.filter(|_| location.0 != 0) {
            self.records.get_mut(place as usize).flags = 0;
            merchants.get_mut(merchant).open_locations -= 1;
        }
    }

    /// Brings a place near that will be looked at soon.
    #[inline]
    pub(crate) fn prefetch(&self, place: u32) {
        self.records.prefetch(place as usize);
    }

    #[inline]
    pub(crate) fn get(&self, place: u32) -> &Place {
        self.records.get(place as usize)
    }

    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// Every open location but 0, as it was opened last.
    pub(crate) fn opened(&self, merchants: &Merchants) -> impl Iterator<Item = LocationOpened> {
        let places = (0..self.records.len()).map(|place| self.records.get(place));
        places.filter(|place| place.is(OPEN) && place.location != 0).map(|place| LocationOpened {
            merchant: merchants.id(place.merchant),
            location: LocationId(place.location),
            region: Region::new(place.region).unwrap_or_default(),
            priority: place.priority,
            ships: place.is(SHIPS),
            pickup: place.is(PICKUP),
        })
    }

    pub(crate) fn freeze(&mut self, frozen: &mut Frozen) {
        self.index.freeze(frozen);
        frozen.push(self.records.freeze());
    }

    pub(crate) fn thaw(thaw: &mut Thaw<'_>) -> Result<Places, RestoreError> {
        let index = Index::thaw(thaw)?;
        let records = Paged::thaw(thaw)?;
        thaw.check(index.len() == records.len() as u64)?;
        Ok(Places { index, records })
    }
}
