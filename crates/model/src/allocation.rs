//! Which location serves which demand (contract section 4.5).
//!
//! It only looks: no stock is moved here. A demand is never split.

use std::collections::BTreeMap;

use crate::merchant::Merchant;

/// The units that an order wants of one SKU, all its lines added up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Demand {
    pub(crate) sku: u64,
    pub(crate) units: u64,
}

/// The location of each SKU of an order.
pub(crate) type Allocation = BTreeMap<u64, u32>;

/// Finds a location for every demand.
///
/// # Errors
/// The first SKU, in order of first appearance, that no candidate can serve.
pub(crate) fn allocate(
    merchant: &Merchant,
    demands: &[Demand],
    region: &str,
    pickup: Option<u32>,
) -> Result<Allocation, u64> {
    let candidates = match pickup {
        Some(location) => vec![location],
        None => ranked_candidates(merchant, region),
    };
    let serves = |location: u32, demand: &Demand| can_serve(merchant, location, demand);
    let of_whole_order =
        candidates.iter().find(|location| demands.iter().all(|demand| serves(**location, demand)));
    if let Some(location) = of_whole_order {
        return Ok(demands.iter().map(|demand| (demand.sku, *location)).collect());
    }
    // A pickup order comes here only to find which demand fails: its one candidate serves some
    // demands at most.
    let mut allocation = Allocation::new();
    for demand in demands {
        let location = candidates.iter().find(|location| serves(**location, demand));
        allocation.insert(demand.sku, *location.ok_or(demand.sku)?);
    }
    Ok(allocation)
}

fn can_serve(merchant: &Merchant, location: u32, demand: &Demand) -> bool {
    let safety_stock = merchant.listings.get(&demand.sku).map_or(0, |listing| listing.safety_stock);
    merchant.on_hand(demand.sku, location) - safety_stock as i64 >= demand.units as i64
}

/// Location 0 and the open locations that ship, nearest first, then by priority, then by id.
fn ranked_candidates(merchant: &Merchant, region: &str) -> Vec<u32> {
    let mut ranked = vec![(distance_class(region, "000000"), 0, 0)];
    for (location, opened) in merchant.locations.iter().filter(|(_, opened)| opened.ships) {
        ranked.push((distance_class(region, &opened.region), opened.priority, *location));
    }
    ranked.sort_unstable();
    ranked.into_iter().map(|(_, _, location)| location).collect()
}

/// 0 in the same district, 1 in the same city, 2 in the same province, 3 elsewhere or unknown.
fn distance_class(order_region: &str, location_region: &str) -> u8 {
    if order_region == "000000" || location_region == "000000" {
        3
    } else if order_region == location_region {
        0
    } else if order_region[..4] == location_region[..4] {
        1
    } else if order_region[..2] == location_region[..2] {
        2
    } else {
        3
    }
}
