//! The traffic's settings in a file: every rate of the model by its name, with unit and range.
//!
//! TOML, in sections; what is left out keeps its default. `config/traffic.toml` documents every
//! setting and is held to the table here by a test. Not here: when orders arrive in a drill, which is
//! its profile, and the windows, which are the pipeline's rules. Invariant: what a file changes is in
//! its range, and whatever is wrong is told with its line and with what to write instead.

use std::collections::BTreeMap;
use std::path::Path;

use serde_spanned::Spanned;

use super::regions::PROVINCES;
use super::settings::{FATES_TOLD, Fate, Settings};

/// Why a file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {what}")]
pub struct TrafficFileError {
    place: String,
    what: String,
}

/// One setting.
struct Knob {
    section: &'static str,
    name: &'static str,
    unit: &'static str,
    least: f64,
    most: f64,
    /// Whether a fraction makes sense.
    is_whole: bool,
    place: Place,
}

/// Where a setting is kept.
enum Place {
    Field { get: fn(&Settings) -> f64, set: fn(&mut Settings, f64) },
    Fate(Fate),
    Province(usize),
}

macro_rules! knobs {
    ($([$section:literal] $($name:ident: $unit:literal $least:literal..=$most:literal $kind:ident;)+)+) => {
        vec![$($(Knob {
            section: $section,
            name: stringify!($name),
            unit: $unit,
            least: $least as f64,
            most: $most as f64,
            is_whole: knobs!(@$kind),
            place: Place::Field {
                get: |settings| settings.$name as f64,
                set: |settings, value| settings.$name = value as _,
            },
        },)+)+]
    };
    (@whole) => { true };
    (@fraction) => { false };
}

/// The settings that are fields of their own, in the order of the documented file.
#[allow(clippy::too_many_lines, reason = "a table")]
fn fields() -> Vec<Knob> {
    knobs! {
        ["merchants"]
        orders_per_merchant: "orders" 1..=1_000_000_000 whole;
        merchants_min: "merchants" 1..=10_000_000 whole;
        merchants_max: "merchants" 1..=10_000_000 whole;
        skus_per_merchant_max: "SKUs" 1..=100 whole;
        merchant_exponent: "exponent" 0..=3 fraction;
        sku_exponent: "exponent" 0..=3 fraction;
        ["stock"]
        stock_percent: "percent" 0..=100_000 whole;
        stock_base: "units" 0..=1_000_000 whole;
        scarce_skus_per_mille: "in a thousand" 0..=1_000 whole;
        scarce_stock_percent: "percent" 0..=100_000 whole;
        ["flash"]
        flash_orders_per_mille: "in a thousand" 0..=1_000 whole;
        flash_stock_percent: "percent" 0..=100_000 whole;
        flash_orders_per_ten_buyers: "orders" 1..=10_000 whole;
        bots_per_mille: "in a thousand" 0..=1_000 whole;
        bots: "buyers" 1..=1_000_000 whole;
        ["livestream"]
        livestream_every_orders: "orders" 10..=1_000_000_000 whole;
        livestream_orders_per_mille: "in a thousand" 0..=1_000 whole;
        ["carts"]
        lines_max: "lines" 1..=99 whole;
        orders_per_buyer: "orders" 1..=1_000_000 whole;
        pickup_per_mille: "in a thousand" 0..=1_000 whole;
        discounted_per_mille: "in a thousand" 0..=1_000 whole;
        gifts_per_mille: "in a thousand" 0..=1_000 whole;
        twice_per_mille: "in a thousand" 0..=1_000 whole;
        ["payments"]
        pay_quickly_percent: "percent" 0..=100 whole;
        pay_soon_percent: "percent" 0..=100 whole;
        pay_quickly_ms_min: "ms" 0..=86_400_000 whole;
        pay_quickly_ms_max: "ms" 0..=86_400_000 whole;
        pay_soon_ms_max: "ms" 0..=86_400_000 whole;
        pay_slowly_ms_max: "ms" 0..=86_400_000 whole;
        ["presale"]
        balance_ms_min: "ms" 0..=86_400_000 whole;
        balance_ms_max: "ms" 0..=86_400_000 whole;
        balances_open_ms: "ms" 0..=86_400_000 whole;
        balances_spread_ms: "ms" 0..=86_400_000 whole;
        ["refunds"]
        refunded_per_mille: "in a thousand" 0..=1_000 whole;
        restocked_per_mille: "in a thousand" 0..=1_000 whole;
        refund_ms_min: "ms" 0..=864_000_000 whole;
        refund_ms_max: "ms" 0..=864_000_000 whole;
        ["publishers"]
        repeated_soon_per_mille: "in a thousand" 0..=1_000 whole;
        repeated_late_per_ten_thousand: "in ten thousand" 0..=10_000 whole;
        late_per_ten_thousand: "in ten thousand" 0..=10_000 whole;
        malformed_per_ten_thousand: "in ten thousand" 0..=10_000 whole;
        orders_per_aside: "orders" 1..=1_000_000_000 whole;
        orders_per_oversized: "orders" 1..=1_000_000_000 whole;
        ["arrival"]
        orders_per_second: "orders a second" 1..=100_000_000 whole;
        sale_ms_min: "ms" 1..=86_400_000 whole;
        rush_orders_per_mille: "in a thousand" 0..=1_000 whole;
        rush_time_per_mille: "in a thousand" 0..=1_000 whole;
        ["areas"]
        rural_per_mille: "in a thousand" 0..=1_000 whole;
        rural_produce_per_mille: "in a thousand" 0..=1_000 whole;
        region_unknown_per_mille: "in a thousand" 0..=1_000 whole;
    }
}

/// Every setting, in the order of the documented file.
fn knobs() -> Vec<Knob> {
    let mut all = fields();
    let whole = |section, name, unit, place| Knob {
        section,
        name,
        unit,
        least: 0.0,
        most: 1_000.0,
        is_whole: true,
        place,
    };
    let fates = FATES_TOLD.into_iter();
    all.extend(fates.map(|(name, fate)| whole("fates", name, "in a thousand", Place::Fate(fate))));
    let provinces = PROVINCES.into_iter().enumerate();
    all.extend(
        provinces.map(|(number, code)| whole("provinces", code, "weight", Place::Province(number))),
    );
    all
}

impl Knob {
    fn get(&self, settings: &Settings) -> f64 {
        match self.place {
            Place::Field { get, .. } => get(settings),
            Place::Fate(fate) => {
                let found = settings.fates.iter().find(|(listed, _)| *listed == fate);
                found.map_or(0.0, |(_, share)| f64::from(*share))
            }
            Place::Province(number) => f64::from(settings.province_weights[number]),
        }
    }

    fn set(&self, settings: &mut Settings, value: f64) {
        match self.place {
            Place::Field { set, .. } => set(settings, value),
            Place::Fate(fate) => {
                let found = settings.fates.iter_mut().find(|(listed, _)| *listed == fate);
                match found {
                    Some((_, share)) => *share = value as u16,
                    None => settings.fates.push((fate, value as u16)),
                }
            }
            Place::Province(number) => settings.province_weights[number] = value as u16,
        }
    }

    /// The value that a file gives it.
    fn value(&self, value: &toml::Value) -> Result<f64, String> {
        let number = match value {
            toml::Value::Integer(number) => *number as f64,
            toml::Value::Float(number) if !self.is_whole => *number,
            toml::Value::Float(number) => {
                return Err(format!("is {number}; write a {}", self.range()));
            }
            other => return Err(format!("is a {}; write a {}", other.type_str(), self.range())),
        };
        let is_in = (self.least..=self.most).contains(&number);
        is_in.then_some(number).ok_or_else(|| format!("is {number}; write a {}", self.range()))
    }

    fn range(&self) -> String {
        let Knob { unit, least, most, is_whole, .. } = self;
        let kind = if *is_whole { "whole number" } else { "number" };
        let default = self.get(&Settings::default());
        format!("{kind} from {least} to {most} ({unit}; {default} if left out)")
    }
}

/// Sections with their settings, each with where it stands.
type Sections = BTreeMap<Spanned<String>, BTreeMap<Spanned<String>, Spanned<toml::Value>>>;

/// Reads the settings of a file.
///
/// # Errors
/// [`TrafficFileError`] if the file cannot be read, or says something that is no setting.
pub fn read(file: &Path) -> Result<Settings, TrafficFileError> {
    let text = std::fs::read_to_string(file).map_err(|error| TrafficFileError {
        place: file.display().to_string(),
        what: error.to_string(),
    })?;
    parse(&text, &file.display().to_string())
}

/// The same of a text; errors call it by `name`.
///
/// # Errors
/// As [`read`].
pub fn parse(text: &str, name: &str) -> Result<Settings, TrafficFileError> {
    let wrong = |at: Option<usize>, what: String| {
        let line = |at: usize| text[..at].bytes().filter(|byte| *byte == b'\n').count() + 1;
        let place = at.map_or(name.to_owned(), |at| format!("{name}, line {}", line(at)));
        TrafficFileError { place, what }
    };
    let sections: Sections = toml::from_str(text).map_err(|error| {
        wrong(error.span().map(|span| span.start), error.message().trim().to_owned())
    })?;
    let knobs = knobs();
    let mut settings = Settings::default();
    for (section, given) in &sections {
        let known: Vec<&Knob> =
            knobs.iter().filter(|knob| knob.section == section.get_ref()).collect();
        if known.is_empty() {
            let names = section_names(&knobs);
            let what = format!("[{}] is no section; there are {names}", section.get_ref());
            return Err(wrong(Some(section.span().start), what));
        }
        for (key, value) in given {
            let name = key.get_ref();
            let at = Some(key.span().start);
            let Some(knob) = known.iter().find(|knob| knob.name == name) else {
                return Err(wrong(at, unknown(name, section.get_ref(), &knobs)));
            };
            let number =
                knob.value(value.get_ref()).map_err(|why| wrong(at, format!("{name} {why}")))?;
            knob.set(&mut settings, number);
        }
    }
    settings.check().map_err(|what| wrong(None, what))?;
    Ok(settings)
}

fn section_names(knobs: &[Knob]) -> String {
    let mut names: Vec<&str> = knobs.iter().map(|knob| knob.section).collect();
    names.dedup();
    names.join(", ")
}

fn unknown(name: &str, section: &str, knobs: &[Knob]) -> String {
    if let Some(elsewhere) = knobs.iter().find(|knob| knob.name == name) {
        return format!("{name} belongs to [{}]", elsewhere.section);
    }
    let names: Vec<&str> =
        knobs.iter().filter(|knob| knob.section == section).map(|knob| knob.name).collect();
    format!("{name} is no setting of [{section}]; there are {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn documented() -> String {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/traffic.toml");
        std::fs::read_to_string(path).unwrap_or_default()
    }

    /// What a test of the documentation asks for, so that it can be pasted.
    fn line(knob: &Knob) -> String {
        let value = knob.get(&Settings::default());
        let Knob { name, unit, least, most, .. } = knob;
        let fraction = if !knob.is_whole && value.fract() == 0.0 { ".0" } else { "" };
        let key = if name.starts_with(|first: char| first.is_ascii_digit()) {
            format!("\"{name}\"")
        } else {
            (*name).to_owned()
        };
        format!("{key} = {value}{fraction} # {unit}, {least} to {most}")
    }

    #[test]
    fn a_setting_is_not_documented_with_its_default_unit_and_range() {
        let documented = documented();
        for knob in knobs() {
            let section = format!("[{}]", knob.section);
            let part = documented.split("\n[").map(|part| format!("[{part}"));
            let part = part.filter(|part| part.starts_with(&section)).collect::<String>();
            let line = line(&knob);
            assert!(part.lines().any(|found| found == line), "{section} should say\n{line}");
        }
    }

    #[test]
    fn the_documented_file_differs_from_the_defaults() {
        assert_eq!(parse(&documented(), "traffic.toml").unwrap(), Settings::default());
    }

    #[test]
    fn every_setting_can_be_changed() {
        for knob in knobs() {
            let default = knob.get(&Settings::default());
            let other = if default > knob.least { knob.least } else { knob.least + 1.0 };
            let mut settings = Settings::default();
            knob.set(&mut settings, other);
            assert!((knob.get(&settings) - other).abs() < 1e-9, "{}", knob.name);
            assert_ne!(settings, Settings::default(), "{}", knob.name);
        }
    }

    #[test]
    fn what_is_wrong_is_told_without_its_line_or_what_to_write() {
        let cases = [
            (
                "[carts]\n\nlines_max = 0\n",
                "a.toml, line 3: lines_max is 0; write a whole number from 1 to 99 (lines; 6 if left out)",
            ),
            ("[carts]\nlines_max = 2.5", "line 2: lines_max is 2.5; write a whole number"),
            ("[carts]\nlines_max = \"2\"", "line 2: lines_max is a string; write a whole number"),
            (
                "[merchants]\nsku_exponent = 3.5",
                "write a number from 0 to 3 (exponent; 1 if left out)",
            ),
            ("[carts]\nbots = 3", "line 2: bots belongs to [flash]"),
            (
                "# x\n[cart]\nlines_max = 2",
                "line 2: [cart] is no section; there are merchants, stock",
            ),
            (
                "[carts]\nlines = 2",
                "lines is no setting of [carts]; there are lines_max, orders_per_buyer",
            ),
            ("[carts]\nlines_max = = 2", "line 2"),
            ("[fates]\nnever_paid = 900\ncancelled = 900", "add up to"),
            ("[payments]\npay_quickly_percent = 90", "pay_soon_percent"),
            ("[refunds]\nrefund_ms_min = 80_000_000", "refund_ms_max"),
        ];
        for (text, hint) in cases {
            let error = parse(text, "a.toml").unwrap_err().to_string();
            assert!(error.starts_with("a.toml") && error.contains(hint), "{text}: {error}");
        }
    }

    #[test]
    fn a_file_that_changes_one_setting_changes_another() {
        let settings = parse("[fates]\nnever_paid = 300\n[provinces]\n\"33\" = 20\n", "x").unwrap();
        let mut expected = Settings::default();
        for (fate, share) in &mut expected.fates {
            if *fate == Fate::NeverPaid {
                *share = 300;
            }
        }
        expected.province_weights[PROVINCES.iter().position(|code| *code == "33").unwrap()] = 20;
        assert_eq!(settings, expected);
        assert_eq!(parse("", "x").unwrap(), Settings::default());
    }
}
