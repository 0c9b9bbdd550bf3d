//! What is sold: merchants, their SKUs, and the categories that SKUs are counted under.
//!
//! Not stock: how much there is of a SKU, and where, is `stockroom`'s. Everything here gets a dense
//! number when the state first needs it and keeps it for good; the rest of the ledger speaks in those
//! numbers. Invariant: a number once given always means the same merchant, SKU or category.

use crate::hash;
use crate::index::Index;
use crate::paged::Paged;
use crate::snapshot::{Frozen, RestoreError, Thaw};
use crate::units::{Category, MerchantId, SkuId};

/// Categories that may ever be listed in one partition, `none` included.
const CATEGORIES_MAX: usize = 4096;

#[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(crate) struct Merchant {
    pub(crate) id: u64,
    /// The place of location 0, counted from 1; 0 while it has none.
    pub(crate) own_place: u32,
    /// Open locations, 0 not counted.
    pub(crate) open_locations: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Merchants {
    index: Index,
    records: Paged<Merchant>,
}

impl Merchants {
    #[inline]
    pub(crate) fn find(&self, id: MerchantId) -> Option<u32> {
        let is = |reference: u32| self.get(reference - 1).id == id.0;
        self.index.find(Merchants::hash(id), is).map(|reference| reference - 1)
    }

    #[inline]
    pub(crate) fn hash(id: MerchantId) -> u32 {
        hash::pair(id.0, 0)
    }

    /// Brings near where a merchant with this hash will be looked up.
    #[inline]
    pub(crate) fn prefetch_index(&self, hash: u32) {
        self.index.prefetch(hash);
    }

    /// The number of a merchant with this hash, perhaps of another one.
    #[inline]
    pub(crate) fn peek(&self, hash: u32) -> Option<u32> {
        self.index.peek(hash).map(|reference| reference - 1)
    }

    /// Brings a merchant near that will be looked at soon.
    #[inline]
    pub(crate) fn prefetch(&self, merchant: u32) {
        self.records.prefetch(merchant as usize);
    }

    /// The merchant's number, a new one if it has none yet.
    pub(crate) fn find_or_add(&mut self, id: MerchantId) -> u32 {
        self.find(id).unwrap_or_else(|| {
            let record = Merchant { id: id.0, own_place: 0, open_locations: 0 };
            let number = self.records.push(record) as u32;
            self.index.insert(Merchants::hash(id), number + 1);
            number
        })
    }

    #[inline]
    pub(crate) fn get(&self, merchant: u32) -> &Merchant {
        self.records.get(merchant as usize)
    }

    pub(crate) fn get_mut(&mut self, merchant: u32) -> &mut Merchant {
        self.records.get_mut(merchant as usize)
    }

    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    pub(crate) fn id(&self, merchant: u32) -> MerchantId {
        MerchantId(self.get(merchant).id)
    }

    pub(crate) fn freeze(&mut self, frozen: &mut Frozen) {
        self.index.freeze(frozen);
        frozen.push(self.records.freeze());
    }

    pub(crate) fn thaw(thaw: &mut Thaw<'_>) -> Result<Merchants, RestoreError> {
        let index = Index::thaw(thaw)?;
        let records = Paged::thaw(thaw)?;
        thaw.check(index.len() == records.len() as u64)?;
        Ok(Merchants { index, records })
    }
}

/// A SKU; one cache line.
#[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
pub(crate) struct Sku {
    pub(crate) id: u64,
    /// Sequence number of the first order that could be placed under the present limit.
    pub(crate) limit_since: u64,
    pub(crate) merchant: u32,
    /// Units for each buyer; 0: no limit.
    pub(crate) limit: u32,
    pub(crate) safety_stock: u32,
    pub(crate) category: u16,
    /// 1 if listed.
    pub(crate) listed: u16,
    /// How many cells it has. The first one is here, the others are in chunks.
    pub(crate) cells: u32,
    pub(crate) first_cell: u32,
    pub(crate) first_place: u32,
    /// Newest chunk of further cells, counted from 1; 0 for none.
    pub(crate) chunk: u32,
    unused: [u32; 4],
}

impl Sku {
    #[inline]
    pub(crate) fn is(&self, merchant: u32, id: SkuId) -> bool {
        self.id == id.0 && self.merchant == merchant
    }

    pub(crate) fn is_listed(&self) -> bool {
        self.listed != 0
    }

    /// Whether the buyers' counts have the units of a hold with this sequence number: not of one from
    /// before the limit, or from before the counts were dropped.
    pub(crate) fn counts(&self, sequence: u64) -> bool {
        self.limit > 0 && sequence >= self.limit_since
    }

    /// What is never sold online: part of the listing, so nothing while there is none.
    pub(crate) fn withdraw(&mut self) {
        self.listed = 0;
        self.limit = 0;
        self.safety_stock = 0;
    }
}

#[derive(Debug, Default)]
pub(crate) struct Skus {
    index: Index,
    records: Paged<Sku>,
}

impl Skus {
    #[inline]
    pub(crate) fn hash(merchant: u32, id: SkuId) -> u32 {
        hash::pair(id.0, u64::from(merchant))
    }

    #[inline]
    pub(crate) fn find(&self, merchant: u32, id: SkuId) -> Option<u32> {
        let is = |reference: u32| self.get(reference - 1).is(merchant, id);
        self.index.find(Skus::hash(merchant, id), is).map(|reference| reference - 1)
    }

    /// The SKU's number, a new one if it has none yet.
    pub(crate) fn find_or_add(&mut self, merchant: u32, id: SkuId) -> u32 {
        self.find(merchant, id).unwrap_or_else(|| {
            let record = Sku { id: id.0, merchant, ..bytemuck::Zeroable::zeroed() };
            let number = self.records.push(record) as u32;
            self.index.insert(Skus::hash(merchant, id), number + 1);
            number
        })
    }

    #[inline]
    pub(crate) fn get(&self, sku: u32) -> &Sku {
        self.records.get(sku as usize)
    }

    pub(crate) fn id(&self, sku: u32) -> SkuId {
        SkuId(self.get(sku).id)
    }

    pub(crate) fn get_mut(&mut self, sku: u32) -> &mut Sku {
        self.records.get_mut(sku as usize)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Sku> {
        (0..self.records.len()).map(|sku| self.records.get(sku))
    }

    /// Brings near where a SKU with this hash will be looked up.
    #[inline]
    pub(crate) fn prefetch_index(&self, hash: u32) {
        self.index.prefetch(hash);
    }

    /// Brings a SKU near that will be looked at soon.
    #[inline]
    pub(crate) fn prefetch(&self, sku: u32) {
        self.records.prefetch(sku as usize);
    }

    /// The number of a SKU with this hash, perhaps of another one.
    #[inline]
    pub(crate) fn peek(&self, hash: u32) -> Option<u32> {
        self.index.peek(hash).map(|reference| reference - 1)
    }

    pub(crate) fn freeze(&mut self, frozen: &mut Frozen) {
        self.index.freeze(frozen);
        frozen.push(self.records.freeze());
    }

    pub(crate) fn thaw(thaw: &mut Thaw<'_>) -> Result<Skus, RestoreError> {
        let index = Index::thaw(thaw)?;
        let records = Paged::thaw(thaw)?;
        thaw.check(index.len() == records.len() as u64)?;
        Ok(Skus { index, records })
    }
}

/// A category's name, filled up with zeros.
type Name = [u8; Category::BYTES_MAX];

#[derive(Debug, Default)]
pub(crate) struct Categories {
    index: Index,
    names: Paged<Name>,
}

impl Categories {
    /// The category's number, a new one if it has none yet; `None` if there are too many.
    pub(crate) fn find_or_add(&mut self, category: Category<'_>) -> Option<u16> {
        let text = category.as_str().as_bytes();
        let mut name = [0; Category::BYTES_MAX];
        name[..text.len()].copy_from_slice(text);
        let words: [u32; Category::BYTES_MAX / 4] = bytemuck::cast(name);
        let hash = hash::words(0, &words);
        let is = |reference: u32| *self.names.get(reference as usize - 1) == name;
        if let Some(reference) = self.index.find(hash, is) {
            return Some((reference - 1) as u16);
        }
        if self.names.len() == CATEGORIES_MAX {
            return None;
        }
        let number = self.names.push(name);
        self.index.insert(hash, number as u32 + 1);
        Some(number as u16)
    }

    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    pub(crate) fn name(&self, category: u16) -> Category<'_> {
        let name = self.names.get(usize::from(category));
        let len = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
        let name = str::from_utf8(&name[..len]).ok().and_then(Category::new);
        name.expect("a stored name was a category's")
    }

    pub(crate) fn freeze(&mut self, frozen: &mut Frozen) {
        self.index.freeze(frozen);
        frozen.push(self.names.freeze());
    }

    pub(crate) fn thaw(thaw: &mut Thaw<'_>) -> Result<Categories, RestoreError> {
        let index = Index::thaw(thaw)?;
        let names: Paged<Name> = Paged::thaw(thaw)?;
        thaw.check(index.len() == names.len() as u64 && names.len() <= CATEGORIES_MAX)?;
        Ok(Categories { index, names })
    }
}
