//! Units and exact conversion between them: every factor is a rational by definition, none is rounded.

use std::{collections::HashMap, sync::LazyLock};

use dashu_ratio::RBig;

use super::{
    number::{Arithmetic, Number},
    parser,
};
use crate::ToolFailure;

/// What a unit measures; only units of one dimension convert into each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dimension {
    Length,
    Mass,
    Temperature,
    Volume,
    Time,
    Data,
    Speed,
}

use Dimension::*;

/// A unit: its names (the first is the one written), and how many base units it is, as an expression.
struct Unit {
    names: &'static str,
    dimension: Dimension,
    factor: &'static str,
    /// Added before the factor applies; only temperatures have one.
    offset: &'static str,
}

const fn unit(dimension: Dimension, factor: &'static str, names: &'static str) -> Unit {
    Unit { names, dimension, factor, offset: "0" }
}

const fn degree(factor: &'static str, offset: &'static str, names: &'static str) -> Unit {
    Unit { names, dimension: Temperature, factor, offset }
}

/// Base units: metre, kilogram, kelvin, litre, second, byte, metre per second. Names are parted by `|`.
const UNITS: &[Unit] = &[
    unit(Length, "1", "m|meter|meters|metre|metres"),
    unit(Length, "1000", "km|kilometer|kilometers|kilometre|kilometres|kms"),
    unit(Length, "0.01", "cm|centimeter|centimeters|centimetre|centimetres"),
    unit(Length, "0.001", "mm|millimeter|millimeters|millimetre|millimetres"),
    unit(Length, "0.000001", "µm|um|micrometer|micrometers|micrometre|micrometres|micron|microns"),
    unit(Length, "0.000000001", "nm|nanometer|nanometers|nanometre|nanometres"),
    unit(Length, "1609.344", "mi|mile|miles"),
    unit(Length, "0.9144", "yd|yard|yards"),
    unit(Length, "0.3048", "ft|foot|feet"),
    unit(Length, "0.0254", "inch|inches|in"),
    unit(Length, "1852", "nmi|nautical mile|nautical miles"),
    unit(Length, "9460730472580800", "ly|light year|light years|light-year|light-years"),
    unit(Mass, "1", "kg|kilogram|kilograms|kilo|kilos"),
    unit(Mass, "0.001", "g|gram|grams|gramme|grammes"),
    unit(Mass, "0.000001", "mg|milligram|milligrams"),
    unit(Mass, "1000", "t|tonne|tonnes|metric ton|metric tons"),
    unit(Mass, "0.45359237", "lb|lbs|pound|pounds"),
    unit(Mass, "0.45359237/16", "oz|ounce|ounces"),
    unit(Mass, "0.45359237*14", "st|stone|stones"),
    degree("1", "273.15", "°C|c|celsius|degrees celsius|degree celsius|degrees c|centigrade"),
    degree("5/9", "459.67", "°F|f|fahrenheit|degrees fahrenheit|degree fahrenheit|degrees f"),
    degree("1", "0", "K|kelvin|kelvins"),
    unit(Volume, "1", "l|liter|liters|litre|litres"),
    unit(Volume, "0.001", "ml|milliliter|milliliters|millilitre|millilitres"),
    unit(Volume, "0.01", "cl|centiliter|centiliters|centilitre|centilitres"),
    unit(Volume, "1000", "m³|m3|cubic meter|cubic meters|cubic metre|cubic metres"),
    unit(Volume, "3.785411784", "gal|gallon|gallons|us gallon|us gallons"),
    unit(Volume, "4.54609", "imperial gallon|imperial gallons"),
    unit(Volume, "3.785411784/4", "qt|quart|quarts"),
    unit(Volume, "3.785411784/8", "pt|pint|pints"),
    unit(Volume, "3.785411784/16", "cup|cups"),
    unit(Volume, "3.785411784/128", "fl oz|fluid ounce|fluid ounces"),
    unit(Volume, "3.785411784/256", "tbsp|tablespoon|tablespoons"),
    unit(Volume, "3.785411784/768", "tsp|teaspoon|teaspoons"),
    unit(Time, "1", "s|second|seconds|sec|secs"),
    unit(Time, "0.001", "ms|millisecond|milliseconds"),
    unit(Time, "0.000001", "µs|us|microsecond|microseconds"),
    unit(Time, "0.000000001", "ns|nanosecond|nanoseconds"),
    unit(Time, "60", "min|minute|minutes|mins"),
    unit(Time, "3600", "h|hour|hours|hr|hrs"),
    unit(Time, "86400", "d|day|days"),
    unit(Time, "604800", "week|weeks|wk"),
    unit(Data, "1", "B|byte|bytes"),
    unit(Data, "1/8", "bit|bits"),
    unit(Data, "1000", "kB|KB|kilobyte|kilobytes"),
    unit(Data, "1000^2", "MB|megabyte|megabytes"),
    unit(Data, "1000^3", "GB|gigabyte|gigabytes"),
    unit(Data, "1000^4", "TB|terabyte|terabytes"),
    unit(Data, "1000^5", "PB|petabyte|petabytes"),
    unit(Data, "1024", "KiB|kibibyte|kibibytes"),
    unit(Data, "1024^2", "MiB|mebibyte|mebibytes"),
    unit(Data, "1024^3", "GiB|gibibyte|gibibytes"),
    unit(Data, "1024^4", "TiB|tebibyte|tebibytes"),
    unit(Data, "1000/8", "kbit|Kb|kilobit|kilobits"),
    unit(Data, "1000^2/8", "Mbit|Mb|megabit|megabits"),
    unit(Data, "1000^3/8", "Gbit|Gb|gigabit|gigabits"),
    unit(Speed, "1", "m/s|mps|meters per second|metres per second"),
    unit(Speed, "1000/3600", "km/h|kmh|kph|kilometers per hour|kilometres per hour"),
    unit(Speed, "1609.344/3600", "mph|miles per hour|mi/h"),
    unit(Speed, "1852/3600", "kn|knot|knots"),
    unit(Speed, "0.3048", "ft/s|fps|feet per second"),
];

/// Longest name of a unit, in bytes.
const MAX_NAME: usize = 24;

/// The units by name, as written and in lower case: the planner asks for every word of a message.
static NAMES: LazyLock<[HashMap<String, &'static Unit>; 2]> = LazyLock::new(|| {
    let names = |write: fn(&str) -> String| {
        // From the back, so that of two names that differ in case only the first unit stays.
        let units = UNITS.iter().rev();
        units.flat_map(|unit| unit.names.split('|').map(move |name| (write(name), unit))).collect()
    };
    [names(str::to_owned), names(str::to_lowercase)]
});

/// The unit of this name: as written first (`Mb` is not `MB`), then whatever the case.
fn find(name: &str) -> Option<&'static Unit> {
    let name = name.trim();
    if name.is_empty() || name.len() > MAX_NAME {
        return None;
    }
    let [as_written, in_lower_case] = &*NAMES;
    as_written.get(name).or_else(|| in_lower_case.get(&name.to_lowercase())).copied()
}

/// Whether this is the name of a unit.
pub(crate) fn is_unit(name: &str) -> bool {
    find(name).is_some()
}

/// Whether this word may stand between an amount and the unit it is wanted in.
pub(crate) fn joins_units(word: &str) -> bool {
    ["to", "in", "into", "as"].contains(&word)
}

/// An amount to convert.
pub(super) struct Conversion<'a> {
    amount: &'a str,
    from: &'static Unit,
    to: &'static Unit,
}

/// Reads `AMOUNT UNIT to UNIT`; `None` if the text is not of this form.
pub(super) fn read_conversion(text: &str) -> Option<Conversion<'_>> {
    let (left, to) = text.char_indices().rev().find_map(|(at, _)| {
        let after = text[at..].strip_prefix(char::is_whitespace)?;
        let (word, name) = after.split_once(char::is_whitespace)?;
        Some((&text[..at], find(name)?)).filter(|_| joins_units(&word.to_lowercase()))
    })?;
    let left = left.trim_end();
    // The longest tail that is a unit, so that "fl oz" is not taken for "oz".
    let (start, from) = (left.char_indices().skip(1))
        .filter(|(at, _)| left.len() - at <= MAX_NAME)
        .filter(|(at, _)| left[..*at].ends_with(|c: char| !c.is_alphabetic() && c != '°' && c != '/'))
        .find_map(|(at, _)| Some((at, find(&left[at..])?)))?;
    Some(Conversion { amount: &left[..start], from, to })
}

impl Conversion<'_> {
    /// The name of the unit it converts to.
    pub(super) fn to_name(&self) -> &'static str {
        self.to.names.split('|').next().unwrap_or_default()
    }

    /// The amount in the wanted unit.
    pub(super) fn evaluate(&self) -> Result<Number, ToolFailure> {
        if self.from.dimension != self.to.dimension {
            let message = format!("{:?} does not convert to {:?}.", self.from.dimension, self.to.dimension);
            return Err(ToolFailure::new("incompatible_units", message));
        }
        let mut arithmetic = Arithmetic::new();
        let amount = parser::evaluate(self.amount)?;
        let shifted = arithmetic.apply('+', &amount, &parser::evaluate(self.from.offset)?)?;
        let base = arithmetic.apply('*', &shifted, &parser::evaluate(self.from.factor)?)?;
        let scaled = arithmetic.apply('/', &base, &parser::evaluate(self.to.factor)?)?;
        let number = arithmetic.apply('-', &scaled, &parser::evaluate(self.to.offset)?)?;
        if self.from.dimension == Temperature && base.value < RBig::ZERO {
            return Err(ToolFailure::new("no_real_value", "That is below absolute zero."));
        }
        Ok(number)
    }
}
