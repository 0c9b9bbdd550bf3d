//! Where buyers and shops are: codes of GB/T 2260, the national standard for administrative
//! divisions. Not the whole standard: every province of the mainland with some of its districts and
//! counties, and some codes of a whole city, as real addresses have them too.

use super::draw::Draw;

/// The code for an unknown region.
pub(super) const UNKNOWN: &str = "000000";

/// The provinces, by code.
pub(super) const PROVINCES: [&str; 31] = [
    "11", "12", "13", "14", "15", "21", "22", "23", "31", "32", "33", "34", "35", "36", "37", "41",
    "42", "43", "44", "45", "46", "50", "51", "52", "53", "54", "61", "62", "63", "64", "65",
];

/// Draws a place, those of a province as often as its weight says.
#[derive(Debug)]
pub(super) struct Places {
    /// Running sum of the weights of [`REGIONS`].
    sums: [u64; REGIONS.len()],
}

impl Places {
    pub(super) fn new(weights: &[u16; PROVINCES.len()]) -> Places {
        let mut sum = 0;
        let sums = REGIONS.map(|code| {
            let province = PROVINCES.iter().position(|province| code.starts_with(province));
            sum += province.map_or(0, |number| u64::from(weights[number]));
            sum
        });
        Places { sums }
    }

    pub(super) fn draw(&self, draw: &mut Draw) -> &'static str {
        let point = draw.below(self.sums[REGIONS.len() - 1]);
        let number = self.sums.partition_point(|sum| *sum <= point);
        REGIONS[number.min(REGIONS.len() - 1)]
    }
}

/// Districts, counties and cities in every province, by code.
pub(super) const REGIONS: [&str; 126] = [
    // Beijing, Tianjin, Hebei, Shanxi, Inner Mongolia
    "110101", "110105", "110108", "110117", "120101", "120103", "120116", "130102", "130104",
    "130200", "130406", "130632", "140105", "140106", "140200", "140725", "150102", "150103",
    "150203", "150429", // Liaoning, Jilin, Heilongjiang
    "210102", "210103", "210202", "210211", "220102", "220104", "220202", "220381", "230102",
    "230103", "230184", "230606", // Shanghai, Jiangsu, Zhejiang
    "310101", "310104", "310115", "310151", "320102", "320104", "320506", "320583", "320981",
    "330100", "330102", "330106", "330108", "330110", "330127", "330203", "330212", "330702",
    "330782", "331082", // Anhui, Fujian, Jiangxi, Shandong
    "340102", "340104", "340222", "341302", "350102", "350203", "350211", "350524", "360102",
    "360103", "360733", "370102", "370202", "370212", "370685", "371302",
    // Henan, Hubei, Hunan
    "410102", "410105", "410300", "410728", "411122", "420102", "420106", "420111", "420381",
    "420528", "430102", "430104", "430405", "430821", // Guangdong, Guangxi, Hainan
    "440100", "440103", "440106", "440304", "440305", "440606", "440882", "441900", "450102",
    "450103", "450305", "450921", "460105", "460106", "460203", "469002",
    // Chongqing, Sichuan, Guizhou, Yunnan, Tibet
    "500101", "500103", "500112", "500235", "510104", "510107", "510181", "511321", "520102",
    "520103", "520381", "522601", "530102", "530103", "530602", "533102", "540102", "540202",
    // Shaanxi, Gansu, Qinghai, Ningxia, Xinjiang
    "610102", "610113", "610602", "620102", "620402", "630102", "640104", "640521", "650102",
    "653101",
];

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::super::draw::Domain;
    use super::*;

    #[test]
    fn a_province_is_missing_or_a_code_is_not_one() {
        assert!(REGIONS.iter().all(|code| code.len() == 6 && code.parse::<u32>().is_ok()));
        let provinces: BTreeSet<&str> = REGIONS.iter().map(|code| &code[..2]).collect();
        assert!(provinces.into_iter().eq(PROVINCES), "the mainland's provinces");
        assert_eq!(REGIONS.iter().collect::<BTreeSet<_>>().len(), REGIONS.len());
    }

    #[test]
    fn a_place_is_not_drawn_by_the_weight_of_its_province() {
        let mut weights = [0; PROVINCES.len()];
        (weights[0], weights[30]) = (3, 1);
        let (places, mut counts) = (Places::new(&weights), BTreeMap::new());
        let mut draw = Draw::of(1, Domain::Order, 0);
        for _ in 0..10_000 {
            *counts.entry(&places.draw(&mut draw)[..2]).or_insert(0) += 1;
        }
        // Four places of Beijing, two of Xinjiang.
        assert!(counts.keys().eq(&["11", "65"]), "{counts:?}");
        assert!((8_400..8_750).contains(&counts["11"]), "{counts:?}");
    }
}
