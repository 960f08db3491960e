//! The `date_time` tool: clocks of the world and the calendar, from time zone data built into the program.
//! Reading dates and times is in `reading`, names of zones in `zones`.

mod reading;
mod zones;

use jiff::{Span, Timestamp, Unit, Zoned, civil::Date};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::ToolFailure;

pub(crate) use reading::{find_date, find_time, month_named};
pub(crate) use zones::is_zone;

/// What the tool says about itself.
pub(crate) const DESCRIPTION: &str = "Date and time: now in any IANA time zone or large city; a clock time converted \
    between zones; the weekday of a date; the days between two dates; a date plus or minus days, weeks, months, years.";

/// What to find out; which fields matter depends on the operation.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct Arguments {
    /// What to do.
    operation: Operation,
    /// IANA zone or city for `now` and the zone `time` is in for `convert`; UTC if absent.
    zone: Option<String>,
    /// IANA zone or city to convert to.
    to_zone: Option<String>,
    /// Clock time to convert, such as `15:00` or `3:30 pm`.
    time: Option<String>,
    /// A date: `2024-02-29`, `29 February 2024`, `today`; today if absent.
    date: Option<String>,
    /// The other date for `between`.
    other_date: Option<String>,
    /// How much to add, negative to go back.
    amount: Option<i64>,
    /// Of what.
    unit: Option<CalendarUnit>,
}

/// What the tool can do.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Operation {
    /// The date and time in `zone`.
    Now,
    /// `time` in `zone` as a clock in `to_zone` shows it.
    Convert,
    /// The weekday of `date`.
    Weekday,
    /// From `date` to `other_date`.
    Between,
    /// `date` plus `amount` of `unit`.
    Add,
}

/// What can be added to a date.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum CalendarUnit {
    /// Days.
    Days,
    /// Weeks.
    Weeks,
    /// Months; the day is cut to the month's last.
    Months,
    /// Years; 29 February becomes the 28th.
    Years,
}

/// Answers from the clock and the calendar.
pub(crate) fn date_time(arguments: Arguments) -> Result<Value, ToolFailure> {
    let zone = zones::find(arguments.zone.as_deref().unwrap_or("UTC"))?;
    let now = Timestamp::now().to_zoned(zone);
    let today = now.date();
    let date = || match &arguments.date {
        Some(text) => reading::date(text, today),
        None => Ok(today),
    };
    match arguments.operation {
        Operation::Now => Ok(clock(&now)),
        Operation::Convert => convert(&arguments, date()?, &now),
        Operation::Weekday => Ok(calendar(date()?)),
        Operation::Between => {
            between(date()?, reading::date(&needed(&arguments.other_date, "other_date")?, today)?)
        }
        Operation::Add => add(date()?, &arguments),
    }
}

fn convert(arguments: &Arguments, date: Date, now: &Zoned) -> Result<Value, ToolFailure> {
    let time = reading::time(&needed(&arguments.time, "time")?)?;
    let to_zone = zones::find(&needed(&arguments.to_zone, "to_zone")?)?;
    let from = date.to_datetime(time).to_zoned(now.time_zone().clone()).map_err(out_of_range)?;
    let to = from.with_time_zone(to_zone);
    Ok(json!({ "from": clock(&from), "to": clock(&to) }))
}

fn between(from: Date, to: Date) -> Result<Value, ToolFailure> {
    let days = from.until((Unit::Day, to)).map_err(out_of_range)?.get_days();
    let calendar = from.until((Unit::Year, to)).map_err(out_of_range)?;
    Ok(json!({
        "from": from.to_string(),
        "to": to.to_string(),
        "days": days,
        "years": calendar.get_years(),
        "months": calendar.get_months(),
        "remaining_days": calendar.get_days(),
    }))
}

fn add(date: Date, arguments: &Arguments) -> Result<Value, ToolFailure> {
    let amount = arguments.amount.unwrap_or(0);
    let span = match arguments.unit.unwrap_or(CalendarUnit::Days) {
        CalendarUnit::Days => Span::new().try_days(amount),
        CalendarUnit::Weeks => Span::new().try_weeks(amount),
        CalendarUnit::Months => Span::new().try_months(amount),
        CalendarUnit::Years => Span::new().try_years(amount),
    };
    let sum = span.and_then(|span| date.checked_add(span)).map_err(out_of_range)?;
    let mut result = calendar(sum);
    result["from"] = date.to_string().into();
    Ok(result)
}

/// A moment as the clock and the calendar of its zone show it.
fn clock(moment: &Zoned) -> Value {
    json!({
        "zone": moment.time_zone().iana_name().unwrap_or("UTC"),
        "date": moment.date().to_string(),
        "time": moment.strftime("%H:%M:%S").to_string(),
        "weekday": moment.strftime("%A").to_string(),
        "utc_offset": moment.strftime("%:z").to_string(),
        "iso": moment.timestamp().to_string(),
    })
}

fn calendar(date: Date) -> Value {
    json!({
        "date": date.to_string(),
        "weekday": date.strftime("%A").to_string(),
        "day_of_year": date.day_of_year(),
        "iso_week": date.iso_week_date().week(),
        "leap_year": date.in_leap_year(),
    })
}

fn needed(field: &Option<String>, name: &str) -> Result<String, ToolFailure> {
    field
        .clone()
        .ok_or_else(|| ToolFailure::new("invalid_arguments", format!("The argument {name:?} is missing.")))
}

fn out_of_range(_: jiff::Error) -> ToolFailure {
    ToolFailure::new("out_of_range", "My calendar goes from the year -9999 to 9999.")
}

#[cfg(test)]
mod tests;
