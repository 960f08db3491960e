//! Names of places to time zones: IANA names, the cities in them, and large cities that have no zone of their own.

use std::sync::LazyLock;

use jiff::tz::{TimeZone, TimeZoneDatabase};

use crate::ToolFailure;

/// The data built into the program, so that the answer does not depend on the machine. Read-only, so it may be shared.
static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// Places whose zone carries another name, in lower case.
const PLACES: &[(&str, &str)] = &[
    ("utc", "UTC"),
    ("gmt", "UTC"),
    ("z", "UTC"),
    ("cet", "Europe/Paris"),
    ("cest", "Europe/Paris"),
    ("bst", "Europe/London"),
    ("est", "America/New_York"),
    ("edt", "America/New_York"),
    ("et", "America/New_York"),
    ("cst", "America/Chicago"),
    ("pst", "America/Los_Angeles"),
    ("pdt", "America/Los_Angeles"),
    ("pt", "America/Los_Angeles"),
    ("jst", "Asia/Tokyo"),
    ("nyc", "America/New_York"),
    ("boston", "America/New_York"),
    ("washington", "America/New_York"),
    ("miami", "America/New_York"),
    ("atlanta", "America/New_York"),
    ("montreal", "America/Toronto"),
    ("houston", "America/Chicago"),
    ("dallas", "America/Chicago"),
    ("austin", "America/Chicago"),
    ("la", "America/Los_Angeles"),
    ("san francisco", "America/Los_Angeles"),
    ("seattle", "America/Los_Angeles"),
    ("las vegas", "America/Los_Angeles"),
    ("san diego", "America/Los_Angeles"),
    ("rio de janeiro", "America/Sao_Paulo"),
    ("rio", "America/Sao_Paulo"),
    ("munich", "Europe/Berlin"),
    ("hamburg", "Europe/Berlin"),
    ("frankfurt", "Europe/Berlin"),
    ("cologne", "Europe/Berlin"),
    ("germany", "Europe/Berlin"),
    ("france", "Europe/Paris"),
    ("geneva", "Europe/Zurich"),
    ("basel", "Europe/Zurich"),
    ("barcelona", "Europe/Madrid"),
    ("milan", "Europe/Rome"),
    ("edinburgh", "Europe/London"),
    ("manchester", "Europe/London"),
    ("st petersburg", "Europe/Moscow"),
    ("kyiv", "Europe/Kyiv"),
    ("beijing", "Asia/Shanghai"),
    ("shenzhen", "Asia/Shanghai"),
    ("china", "Asia/Shanghai"),
    ("mumbai", "Asia/Kolkata"),
    ("delhi", "Asia/Kolkata"),
    ("new delhi", "Asia/Kolkata"),
    ("bangalore", "Asia/Kolkata"),
    ("india", "Asia/Kolkata"),
    ("osaka", "Asia/Tokyo"),
    ("kyoto", "Asia/Tokyo"),
    ("japan", "Asia/Tokyo"),
    ("hanoi", "Asia/Ho_Chi_Minh"),
    ("saigon", "Asia/Ho_Chi_Minh"),
    ("abu dhabi", "Asia/Dubai"),
    ("tel aviv", "Asia/Jerusalem"),
    ("cape town", "Africa/Johannesburg"),
    ("canberra", "Australia/Sydney"),
    ("wellington", "Pacific/Auckland"),
];

/// Longest name looked up, in bytes.
const MAX_NAME: usize = 64;

/// The zone of this name.
pub(super) fn find(name: &str) -> Result<TimeZone, ToolFailure> {
    lookup(name).ok_or_else(|| {
        let shown: String = name.chars().take(MAX_NAME).collect();
        ToolFailure::new("unknown_zone", format!("I know no time zone or city named {shown:?}."))
    })
}

/// Whether this is the name of a zone or of a city with one.
pub(crate) fn is_zone(name: &str) -> bool {
    lookup(name).is_some()
}

fn lookup(name: &str) -> Option<TimeZone> {
    let name = name.trim();
    if name.is_empty() || name.len() > MAX_NAME {
        return None;
    }
    if let Some((_, zone)) = PLACES.iter().find(|(place, _)| place.eq_ignore_ascii_case(name)) {
        return ZONES.get(zone).ok();
    }
    // A bare word such as "Cuba" or "EST5EDT" is a zone too, but so is "US/..": both go through here.
    if let Ok(zone) = ZONES.get(name) {
        return Some(zone);
    }
    let city = name.replace(' ', "_");
    let zone = ZONES.available().find(|zone| {
        zone.as_str().rsplit_once('/').is_some_and(|(_, last)| last.eq_ignore_ascii_case(&city))
    })?;
    ZONES.get(zone.as_str()).ok()
}
